// The program `ingot`.
#include <string>
#include <vector>

#include "ingot/base/interrupt.h"
#include "ingot/base/process_start.h"
#include "ingot/cli/program.h"

int main(int argc, char** argv) {
  ingot::PrepareProcess();
  ingot::EndOnInterrupt();
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return ingot::cli::StandardProgram().Run(arguments, {});
}
