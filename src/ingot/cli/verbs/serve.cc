// ingot serve and ingot client, which the program ingot-serve does: the network libraries that it
// links cost the other verbs nothing.
#include "ingot/cli/program.h"

namespace ingot::cli {

void AddServe(Program& program) {
  program.AddExternal({.name = "serve",
                       .summary = "serve models over HTTP and gRPC (Open Inference Protocol)",
                       .details = "",
                       .example = ""},
                      "ingot-serve");
  program.AddExternal({.name = "client",
                       .summary = "call and measure an inference server",
                       .details = "",
                       .example = ""},
                      "ingot-serve");
}

}  // namespace ingot::cli
