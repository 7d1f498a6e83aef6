// ingot generate: a text continued by a trained language model.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/interrupt.h"
#include "ingot/base/machine.h"
#include "ingot/cli/job_arguments.h"
#include "ingot/cli/program.h"
#include "ingot/data/token_source.h"
#include "ingot/formats/tokenizer.h"
#include "ingot/infer/generator.h"

namespace ingot::cli {
namespace {

constexpr int64_t kTokens = 200;

class Generate : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positional("RUN", &run_, "the run directory of a language model");
    options.Text("--prompt", &prompt_, "TEXT", "the text to be continued (default: a new line)");
    options.Number("--tokens", &tokens_, "N", "so many tokens are written (default: 200)", 1);
    options.Real("--temperature", &temperature_, "T",
                 "above 1 more daring, below 1 less; 0 always takes the likeliest (default: 1)", 0,
                 100);
    options.Number("--top-k", &top_k_, "K", "draws from the K likeliest tokens only", 1);
    options.Real("--top-p", &top_p_, "P",
                 "draws from the fewest tokens whose probabilities reach P (default: 1)", 1e-9, 1);
    options.Number("--seed", &seed_, "N", "of the draws: the same seed, the same text (default: 0)",
                   0);
    options.Text(
        "--checkpoint", &checkpoint_, "NAME",
        "final, best, newest or a folder in RUN/checkpoints (default: final, else newest)");
    options.Text("--tokenizer", &tokenizer_, "FILE",
                 "a Hugging Face tokenizer.json (default: RUN/tokenizer.json, else that of the "
                 "training data, else bytes)");
    options.Threads(&threads_, "threads (default: the CPUs it may use)");
    options.Flag("--json", &json_, "prints JSON at the end, in place of the text as it comes");
  }

  int Run(const Streams& streams) override {
    infer::PredictorOptions options;
    options.checkpoint = checkpoint_;
    options.threads = static_cast<int>(threads_.value_or(AvailableCpus()));
    infer::Predictor predictor = infer::Predictor::Load(RunFolder(run_), options);
    infer::SamplingOptions sampling;
    sampling.temperature = temperature_.value_or(1);
    sampling.top_k = top_k_.value_or(0);
    sampling.top_p = top_p_.value_or(1);
    sampling.seed = static_cast<uint64_t>(seed_.value_or(0));
    infer::Generator generator(predictor, sampling);
    const formats::Tokenizer tokenizer = ReadTokenizer(predictor, generator.vocabulary());
    std::vector<int64_t> tokens;
    for (const uint32_t token : tokenizer.Encode(prompt_)) tokens.push_back(token);
    const size_t given = tokens.size();
    const InterruptGuard guard;
    std::string text;
    if (!json_) streams.Out(prompt_);
    generator.Continue(tokens, tokens_.value_or(kTokens), [&](int64_t token) {
      const auto number = static_cast<uint32_t>(token);
      const std::string piece = tokenizer.Decode({&number, 1});
      text += piece;
      if (!json_) {
        streams.Out(piece);
        std::fflush(streams.out);
      }
      return !Interrupted();
    });
    if (json_) {
      const nlohmann::ordered_json json = {
          {"prompt", prompt_}, {"text", text}, {"tokens", tokens.size() - given}};
      streams.Out(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    }
    streams.Out("\n");
    return Interrupted() ? kInterrupted : kOk;
  }

 private:
  // It must know every token of the model: what is drawn is to be written.
  formats::Tokenizer ReadTokenizer(const infer::Predictor& predictor, int64_t vocabulary) const {
    std::string name = tokenizer_;
    const std::string own = RunFolder(run_) + "/tokenizer.json";
    if (name.empty() && RealFileSystem().Exists(own)) name = own;
    formats::Tokenizer tokenizer = formats::Tokenizer::Bytes();
    const auto stored = predictor.metadata().find(std::string("data.") + data::kTokenizerEntry);
    if (!name.empty()) {
      tokenizer = formats::Tokenizer::ReadJson(name);
    } else if (stored != predictor.metadata().end()) {
      name = "the model's tokenizer";
      tokenizer = formats::Tokenizer::ParseJson(stored->second, name);
    }
    const bool fits =
        name.empty() ? vocabulary <= tokenizer.vocabulary() : vocabulary == tokenizer.vocabulary();
    if (fits) return tokenizer;
    throw Error(
        ErrorCode::kInvalidInput,
        fmt::format("the model has a vocabulary of {} tokens, {} of {}", vocabulary,
                    name.empty() ? "bytes one" : "'" + name + "' one", tokenizer.vocabulary()),
        "give the tokenizer that its training data were made with: --tokenizer FILE");
  }

  std::string tokenizer_;
  std::string run_;
  std::string prompt_ = "\n";
  std::optional<int64_t> tokens_;
  std::optional<double> temperature_;
  std::optional<int64_t> top_k_;
  std::optional<double> top_p_;
  std::optional<int64_t> seed_;
  std::string checkpoint_;
  std::optional<int64_t> threads_;
  bool json_ = false;
};

}  // namespace

void AddGenerate(Program& program) {
  program.Add<Generate>(
      {.name = "generate",
       .summary = "continue a text with a trained language model",
       .details = "Writes each token as soon as it is drawn. Of a text that is longer than its "
                  "context the model\nsees the end.",
       .example = "ingot generate runs/gpt --prompt \"The sea \" --tokens 500\n"
                  "ingot generate runs/gpt --prompt \"The sea \" --temperature 0.8 --top-k 40"});
}

}  // namespace ingot::cli
