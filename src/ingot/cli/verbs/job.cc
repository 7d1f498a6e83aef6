// ingot job: the reference of the job file.
#include "ingot/cli/job_reference.h"
#include "ingot/cli/program.h"

namespace ingot::cli {
namespace {

class Job : public Verb {
 public:
  void Declare(Options& options) override {
    options.Flag("--markdown", &markdown_, "prints Markdown, as in docs/job-file.md");
  }

  int Run(const Streams& streams) override {
    streams.Out(JobReference(markdown_));
    return kOk;
  }

 private:
  bool markdown_ = false;
};

}  // namespace

void AddJob(Program& program) {
  program.Add<Job>({.name = "job",
                    .summary = "print every key of a job file with type, default and meaning",
                    .details = "",
                    .example = "ingot job | less"});
}

}  // namespace ingot::cli
