// PassRunner: the one function that every pass is run by. It names the pass, times it, can switch
// it off, writes the graph before and after as text when asked, and verifies the graph afterwards.
//
//   PassRunner runner({.dump_directory = "/tmp/dump", .disabled = {"fuse_elementwise"}});
//   runner.Run("resolve_like", graph, [&](ir::Graph& g) { ResolveLike(g, registry); });
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"

namespace ingot::passes {

struct PassOptions {
  // Where graphs are written, as NNN.GRAPH.PASS.before.txt and .after.txt; made where it is
  // absent. Empty: the environment's INGOT_DUMP, and no dumps where that is absent too.
  std::string dump_directory = {};
  // Passes that are not run. Names that are not in AllPasses(), or that cannot be left out, are
  // errors.
  std::vector<std::string> disabled = {};
  bool verify = true;
};

struct PassTiming {
  std::string name;
  double seconds = 0;
  size_t nodes_before = 0;  // of the graph itself, without its subgraphs
  size_t nodes_after = 0;
  bool skipped = false;  // switched off
};

struct PassInfo {
  std::string name;
  std::string summary;   // one sentence
  bool optional = true;  // may be switched off
};

// Every pass of this room, in the usual order; for `--help` and for checking names.
const std::vector<PassInfo>& AllPasses();

// Not thread-safe; the options are copied.
class PassRunner {
 public:
  // Throws Error(kInvalidInput) with the nearest name for a disabled pass that does not exist or
  // cannot be left out.
  explicit PassRunner(PassOptions options = {});

  // Runs `pass` on the graph unless `name` is disabled; returns whether it ran. `name` should be in
  // AllPasses(), or be a program's own. Throws what the pass throws, Error(kInternal) naming the
  // pass when the graph is broken afterwards, and Error(kIo) when a dump cannot be written.
  bool Run(const std::string& name, ir::Graph& graph, const std::function<void(ir::Graph&)>& pass);

  // One for each call of Run, in order.
  const std::vector<PassTiming>& Timings() const { return timings_; }

 private:
  void Dump(const std::string& name, const char* when, const ir::Graph& graph) const;

  PassOptions options_;
  std::vector<PassTiming> timings_;
};

}  // namespace ingot::passes
