// The program ingot-serve: `ingot serve` and `ingot client`, apart from `ingot` so that the network
// libraries cost the other verbs nothing.
#include <string>
#include <vector>

#include "ingot/base/interrupt.h"
#include "ingot/base/process_start.h"
#include "ingot/cli/program.h"
#include "ingot/server/verbs.h"

int main(int argc, char** argv) {
  ingot::PrepareProcess();
  ingot::EndOnInterrupt();
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  ingot::cli::Program program;
  ingot::server::AddClient(program);
  ingot::server::AddServe(program);
  return program.Run(arguments, {});
}
