// What a program's main does first, so that what it was started with cannot spoil its files.
#pragma once

namespace ingot {

// Opens /dev/null in the place of those of stdin, stdout and stderr that are closed, as cron jobs
// and daemons may have them: the first files of a program would get their numbers, and the
// program's messages. And a file that grows beyond the limit of the system (ulimit -f) is an error
// of the write, as a full disk is, and not the end of the process. Call before any file is opened.
void PrepareProcess();

}  // namespace ingot
