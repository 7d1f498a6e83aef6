// The verbs of the program ingot-serve, which `ingot` starts for them.
#pragma once

namespace ingot::cli {
class Program;
}

namespace ingot::server {

void AddServe(cli::Program& program);
void AddClient(cli::Program& program);

}  // namespace ingot::server
