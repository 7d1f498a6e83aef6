// ingot client: calls a server once, or measures it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/program.h"
#include "ingot/plot/chart.h"
#include "ingot/plot/picture.h"
#include "ingot/serve/http_client.h"
#include "ingot/server/client_request.h"
#include "ingot/server/verbs.h"

namespace ingot::server {
namespace {

using cli::Options;
using cli::Streams;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;
using serve::HttpAnswer;
using serve::HttpClient;

// The model's metadata, in JSON.
std::string GetMetadata(HttpClient& client, const std::string& path, const Headers& headers) {
  const HttpAnswer answer = client.Send("GET", path, headers, "");
  const Json json = Json::parse(answer.body, nullptr, false);
  if (answer.status != 200 || json.is_discarded()) {
    throw Error(ErrorCode::kInvalidInput,
                "the server answers " + std::to_string(answer.status) + " for " + path + ": " +
                    (json.is_object() && json.contains("error") ? json["error"].get<std::string>()
                                                                : answer.body));
  }
  return answer.body;
}

// The latencies of one measurement, in seconds.
struct Measured {
  std::mutex mutex;
  std::vector<std::pair<double, double>> samples;  // when it began, how long it took
  std::atomic<int64_t> failed = 0;
  std::string first_failure;
};

double Percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const size_t at = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[at];
}

class Client : public cli::Verb {
 public:
  void Declare(Options& options) override {
    options.PositionalChoice(
        "ACTION", &action_,
        "one request, as many as answers come back (a closed loop), or so many a second, whatever "
        "comes back (an open loop)",
        {"infer", "perf", "load"});
    options.Positional("MODEL", &model_, "the model's name");
    options.Text("--url", &url_, "URL", "the server (default: http://127.0.0.1:8000)");
    options.Texts("--input", &inputs_, "NAME=VALUE",
                  "a .npy file or a JSON array (default: zeros)");
    options.Text("--outputs", &outputs_, "FILE",
                 "infer: the npz file to be written: arrays by the names of the outputs");
    options.Number("--batch", &batch_, "N", "rows of a request (default: 1)", 1);
    options.Number("--concurrency", &concurrency_, "N",
                   "perf: connections (default: 1); load: at most (default: 64)", 1);
    options.Number("--rate", &rate_, "N", "load: requests a second (default: 100)", 1);
    options.Real("--seconds", &seconds_, "S", "how long (default: 5)", 0.1, 86400);
    options.Text("--key", &key_, "KEY", "the API key");
    options.Text("--ca", &tls_.ca, "FILE",
                 "https: PEM of who signed the server's certificate (default: the system's)");
    options.Text("--cert", &tls_.certificate, "FILE", "https: PEM of the client's certificate");
    options.Text("--cert-key", &tls_.key, "FILE", "https: PEM of its key (default: in --cert)");
    options.Flag("--insecure", &tls_.insecure, "https: takes any certificate");
    options.Text("--csv", &csv_, "FILE", "every request: start and latency in seconds");
    options.Text("--plot", &plot_, "FILE.svg", "the latencies as a curve");
    options.Flag("--json", &json_, "prints JSON");
  }

  int Run(const Streams& streams) override {
    HttpClient client(url_, tls_);
    const std::string path = "/v2/models/" + model_;
    Headers key;
    if (!key_.empty()) key.emplace_back("Authorization", "Bearer " + key_);
    const AnswerForm form = action_ != "infer" ? AnswerForm::kFast
                            : outputs_.empty() ? AnswerForm::kReadable
                                               : AnswerForm::kExact;
    ClientRequest request =
        MakeRequest(GetMetadata(client, path, key), inputs_, batch_.value_or(1), form);
    request.headers.insert(request.headers.end(), key.begin(), key.end());
    if (action_ == "infer") return Infer(client, path, request, form, streams);
    Measured measured;
    const Clock::time_point begin = Clock::now();
    Measure(path, request, begin, measured);
    return Report(measured, std::chrono::duration<double>(Clock::now() - begin).count(), streams);
  }

 private:
  int Infer(HttpClient& client, const std::string& path, const ClientRequest& request,
            AnswerForm form, const Streams& streams) const {
    const ClientAnswer answer =
        ReadAnswer(client.Send("POST", path + "/infer", request.headers, request.body), form);
    if (!outputs_.empty()) WriteTensors(answer.tensors, outputs_);
    if (json_) {
      streams.Out(answer.json + "\n");
      return cli::kOk;
    }
    const Json json = Json::parse(answer.json);
    for (const Json& output : json["outputs"]) {
      streams.Out(fmt::format("{} {} {}\n", output["name"].get<std::string>(),
                              output["datatype"].get<std::string>(), output["shape"].dump()));
      if (output.contains("data")) streams.Out(output["data"].dump() + "\n");
    }
    return cli::kOk;
  }

  void One(HttpClient& client, const std::string& path, const ClientRequest& request,
           Clock::time_point begin, Clock::time_point due, Measured& measured,
           std::vector<std::pair<double, double>>& samples) const {
    const auto fail = [&](const std::string& what) {
      if (measured.failed.fetch_add(1) > 0) return;
      const std::scoped_lock lock(measured.mutex);
      measured.first_failure = what;
    };
    try {
      const HttpAnswer answer = client.Send("POST", path + "/infer", request.headers, request.body);
      if (answer.status != 200) {
        fail(std::to_string(answer.status) + " " + answer.body);
        return;
      }
    } catch (const Error& error) {
      fail(error.message());
      return;
    }
    samples.emplace_back(std::chrono::duration<double>(due - begin).count(),
                         std::chrono::duration<double>(Clock::now() - due).count());
  }

  // In the open loop a request is due at its time whether or not a connection is free, and its
  // latency counts from then.
  void Measure(const std::string& path, const ClientRequest& request, Clock::time_point begin,
               Measured& measured) const {
    const bool open = action_ == "load";
    const Clock::time_point end = begin + std::chrono::duration_cast<Clock::duration>(
                                              std::chrono::duration<double>(seconds_.value_or(5)));
    std::atomic<int64_t> next = 0;
    const double interval = 1 / static_cast<double>(rate_.value_or(100));
    const auto work = [&] {
      HttpClient client(url_, tls_);
      std::vector<std::pair<double, double>> samples;
      while (Clock::now() < end) {
        Clock::time_point due = Clock::now();
        if (open) {
          due = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                            interval * static_cast<double>(next.fetch_add(1))));
          if (due >= end) break;
          std::this_thread::sleep_until(due);
        }
        One(client, path, request, begin, due, measured, samples);
      }
      const std::scoped_lock lock(measured.mutex);
      measured.samples.insert(measured.samples.end(), samples.begin(), samples.end());
    };
    std::vector<std::thread> threads;
    const int64_t count = concurrency_.value_or(open ? 64 : 1);
    for (int64_t i = 0; i < count; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
  }

  int Report(Measured& measured, double seconds, const Streams& streams) const {
    std::sort(measured.samples.begin(), measured.samples.end());
    std::vector<double> sorted;
    double sum = 0;
    for (const auto& [start, latency] : measured.samples) {
      sorted.push_back(latency);
      sum += latency;
    }
    std::sort(sorted.begin(), sorted.end());
    const double count = static_cast<double>(sorted.size());
    if (!csv_.empty()) WriteCsv(measured);
    if (!plot_.empty()) WritePlot(measured);
    const std::pair<const char*, double> shares[] = {{"p50", 0.5},  {"p90", 0.9},     {"p95", 0.95},
                                                     {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
    if (json_) {
      Json json = {{"requests", sorted.size()},
                   {"failed", measured.failed.load()},
                   {"seconds", seconds},
                   {"requests_per_second", count / seconds},
                   {"rows_per_second", count * static_cast<double>(batch_.value_or(1)) / seconds}};
      json["latency_seconds"]["mean"] = count > 0 ? sum / count : 0;
      for (const auto& [name, share] : shares)
        json["latency_seconds"][name] = Percentile(sorted, share);
      streams.Out(json.dump(2) + "\n");
    } else {
      streams.Out(fmt::format("{} requests in {:.2f} s: {:.1f} a second, {} failed\n",
                              sorted.size(), seconds, count / seconds, measured.failed.load()));
      for (const auto& [name, share] : shares) {
        streams.Out(fmt::format("  {:<6} {:>10.1f} us\n", name, 1e6 * Percentile(sorted, share)));
      }
    }
    if (measured.failed > 0) streams.Err("the first failure: " + measured.first_failure + "\n");
    return sorted.empty() ? cli::kFailed : cli::kOk;
  }

  void WriteCsv(const Measured& measured) const {
    std::string text = "start_seconds,latency_seconds\n";
    for (const auto& [start, latency] : measured.samples) {
      text += fmt::format("{:.6f},{:.9f}\n", start, latency);
    }
    WriteFileAtomically(RealFileSystem(), csv_, text);
  }

  // The median and the 99th percentile of each of 100 pieces of the time.
  void WritePlot(const Measured& measured) const {
    plot::Panel panel;
    panel.title = model_ + ": latency (ms)";
    panel.x_title = "seconds";
    panel.logarithmic = true;
    const std::pair<const char*, double> shares[] = {{"median", 0.5}, {"p99", 0.99}};
    for (const auto& [name, share] : shares) {
      plot::Series series;
      series.name = name;
      series.colour = panel.series.size();
      const size_t piece = std::max<size_t>(1, measured.samples.size() / 100);
      for (size_t i = 0; i < measured.samples.size(); i += piece) {
        std::vector<double> some;
        for (size_t k = i; k < std::min(i + piece, measured.samples.size()); ++k) {
          some.push_back(measured.samples[k].second);
        }
        std::sort(some.begin(), some.end());
        series.points.push_back({measured.samples[i].first, 1e3 * Percentile(some, share)});
      }
      panel.series.push_back(std::move(series));
    }
    const std::string picture = plot::DrawFile(plot_, 800, 400, [&](plot::Canvas& canvas) {
      plot::DrawPanels({panel}, {0, 0, 800, 400}, canvas);
    });
    WriteFileAtomically(RealFileSystem(), plot_, picture);
  }

  std::string action_, model_, url_ = "http://127.0.0.1:8000", outputs_, key_, csv_, plot_;
  serve::TlsClientOptions tls_;
  std::vector<std::string> inputs_;
  std::optional<int64_t> batch_, concurrency_, rate_;
  std::optional<double> seconds_;
  bool json_ = false;
};

}  // namespace

void AddClient(cli::Program& program) {
  program.Add<Client>(
      {.name = "client",
       .summary = "call and measure an inference server",
       .details = "Prints the answer's tensors, or throughput and percentiles of the latency.",
       .example = "ingot client infer mnist --input x=digit.npy --outputs answer.npz\n"
                  "ingot client perf mnist --concurrency 16 --seconds 10\n"
                  "ingot client infer mnist --url https://serving:8000 --ca ca.crt --key KEY\n"
                  "ingot client load mnist --rate 2000 --csv latencies.csv --plot "
                  "latencies.svg"});
}

}  // namespace ingot::server
