// ingot data: gets data sets, and says what is in files.
#include "ingot/base/error.h"
#include "ingot/cli/data_info.h"
#include "ingot/cli/mnist.h"
#include "ingot/cli/program.h"

namespace ingot::cli {
namespace {

class Data : public Verb {
 public:
  void Declare(Options& options) override {
    options.PositionalChoice("ACTION", &action_, "what to do", {"get", "info"});
    options.Positional("WHAT", &what_, "mnist; or for info also a folder with IDX files or a file");
    options.Text("--cache", &cache_, "DIR",
                 "keeps the data in DIR/mnist (default: $INGOT_CACHE, else the user's cache)");
    options.Flag("--json", &json_, "prints JSON");
    options.Flag("--quiet", &quiet_, "shows no progress");
  }

  int Run(const Streams& streams) override {
    if (action_ == "info") {
      const std::string path = what_ == "mnist" ? GetMnist(cache_, streams, quiet_) : what_;
      streams.Out(json_ ? DataInfoJson(path) : DataInfoText(path));
      return kOk;
    }
    if (what_ != "mnist") {
      throw Error(ErrorCode::kNotFound, "there is no data set '" + what_ + "' to get",
                  "`ingot data get mnist` is the one that there is");
    }
    const std::string folder = GetMnist(cache_, streams, quiet_);
    streams.Out(json_ ? "{\"folder\": " + JsonText(folder) + "}\n" : folder + "\n");
    return kOk;
  }

 private:
  std::string action_;
  std::string what_;
  std::string cache_;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace

void AddData(Program& program) {
  program.Add<Data>(
      {.name = "data",
       .summary = "get a data set, or look at one",
       .details =
           "`get` fetches a data set into the cache, checks it, and prints its folder.\n"
           "`info` shows types, shapes, values and classes of a data set or of an IDX, npy,\n"
           "CSV, PNG or JPEG file.",
       .example = "ingot data get mnist\n"
                  "ingot data info mnist\n"
                  "ingot data info examples/tabular/train.csv"});
}

}  // namespace ingot::cli
