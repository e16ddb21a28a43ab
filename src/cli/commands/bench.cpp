// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <numeric>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/open.h"
#include "cli/profile.h"
#include "cli/session_io.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string path, npz, profile;
  std::vector<std::string> files;
  int threads = 0;
  double seconds = 3;
  bool trust = false;
  BuildFlags build;
};

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// The most memory this program has held since it started. Not getrusage: that would include what ran in this process
/// before exec.
double peak_rss_mb() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  return 0;
}

/// Starts this program again on the engine that a model became, so that neither the compiler nor LLVM is in memory
/// while measuring. Returns only when that fails.
Status restart(const Options& o, const Output& out, const std::string& engine) {
  std::vector<std::string> args = {
      "lathe", "bench", engine, "--threads", std::to_string(o.threads), "--seconds", fmt::format("{}", o.seconds)};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) args.insert(args.end(), {name, value});
  };
  add("--inputs", o.npz);
  for (const std::string& file : o.files) add("--input", file);
  add("--profile", o.profile);
  if (out.json) args.emplace_back("--json");
  if (out.quiet) args.emplace_back("--quiet");
  if (out.verbose) args.emplace_back("--verbose");
  if (o.trust) args.emplace_back("--trust");
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  execv("/proc/self/exe", argv.data());
  return fail(Code::kFailed, errno_message("/proc/self/exe", "cannot start again to measure"));
}

struct Measurement {
  double first_ms = 0;
  std::vector<double> ms;  ///< sorted
  [[nodiscard]] double quantile(double q) const {
    return ms[std::min(ms.size() - 1, static_cast<size_t>(q * static_cast<double>(ms.size())))];
  }
  [[nodiscard]] double mean() const {
    return std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size());
  }
};

Status check_interrupt() {
  if (interrupted()) return fail(Code::kInterrupted, "interrupted");
  return {};
}

Result<Measurement> measure(Session& session, double seconds) {
  constexpr size_t kFewest = 5;
  Measurement m;
  auto begin = Clock::now();
  LATHE_CHECK(session.run());
  m.first_ms = ms_since(begin);
  const double warm_up_ms = std::min(500.0, seconds * 100);
  for (begin = Clock::now(); ms_since(begin) < warm_up_ms;) {
    LATHE_CHECK(session.run());
    LATHE_CHECK(check_interrupt());
  }
  for (begin = Clock::now(); m.ms.size() < kFewest || ms_since(begin) < seconds * 1e3;) {
    const auto start = Clock::now();
    LATHE_CHECK(session.run());
    m.ms.push_back(ms_since(start));
    LATHE_CHECK(check_interrupt());
  }
  std::ranges::sort(m.ms);
  return m;
}

/// Runs apart from the measured ones, since reading the clock at each instruction costs time.
Status profile(Session& session, const Options& o, const Output& out) {
  constexpr int kRuns = 10;
  const Plan& plan = session.engine().plan();
  std::vector<int64_t> sums(plan.instrs.size());
  LATHE_CHECK(session.set_profile(sums));
  for (int i = 0; i < kRuns; ++i) LATHE_CHECK(session.run());
  LATHE_CHECK(session.set_profile({}));
  std::vector<double> nanoseconds;
  for (const int64_t sum : sums) nanoseconds.push_back(static_cast<double>(sum) / kRuns);
  const Profile result{plan, nanoseconds};

  const std::string text = chrome_trace(result).dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
  const auto piece = std::as_bytes(std::span(text));
  LATHE_CHECK(write_file_atomically(o.profile, {&piece, 1}));
  constexpr size_t kRows = 25;
  out.text(profile_table(result, out.verbose ? 0 : kRows));
  return {};
}

Status bench(const Options& o, const Output& out) {
  EngineOptions engine;
  engine.trust = o.trust;
  LATHE_TRY(Opened opened, open_engine_or_model(o.path, o.build, engine, out));
  if (opened.from_model) return restart(o, out, opened.path);

  const auto begin = Clock::now();
  LATHE_TRY(const auto session, Session::create(opened.engine, {.threads = o.threads}));
  const double load_ms = opened.load_seconds * 1e3 + ms_since(begin);
  const Plan& plan = opened.engine->plan();
  constexpr uint64_t kSeed = 1;
  LATHE_TRY(const auto inputs, o.npz.empty() && o.files.empty() ? random_inputs(plan, o.build.shape, kSeed)
                                                                : read_inputs(plan, o.npz, o.files));
  LATHE_CHECK(bind_inputs(*session, inputs));
  const InterruptGuard guard;
  LATHE_TRY(const Measurement m, measure(*session, o.seconds));
  const double rss = peak_rss_mb();

  out.line("{}: {} thread{}, {} runs", opened.path, session->threads(), session->threads() == 1 ? "" : "s",
           m.ms.size());
  out.line("latency  min {:.4g} ms, p50 {:.4g} ms, p90 {:.4g} ms, p99 {:.4g} ms, mean {:.4g} ms", m.ms.front(),
           m.quantile(0.5), m.quantile(0.9), m.quantile(0.99), m.mean());
  out.line("{:.4g} runs/s; load {:.3g} ms, first run {:.3g} ms, peak memory {:.0f} MB", 1e3 / m.mean(), load_ms,
           m.first_ms, rss);
  if (!o.profile.empty()) LATHE_CHECK(profile(*session, o, out));
  out.document({{"engine", opened.path},
                {"threads", session->threads()},
                {"runs", m.ms.size()},
                {"latency_ms",
                 {{"min", m.ms.front()},
                  {"p50", m.quantile(0.5)},
                  {"p90", m.quantile(0.9)},
                  {"p99", m.quantile(0.99)},
                  {"mean", m.mean()}}},
                {"throughput_per_s", 1e3 / m.mean()},
                {"peak_rss_mb", rss},
                {"load_ms", load_ms},
                {"first_run_ms", m.first_ms}});
  return {};
}

}  // namespace

void add_bench(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("bench", "Measure how fast an engine or a model runs",
                               "lathe bench model.lathe --threads 2 --seconds 5 --profile trace.json",
                               [o](const Output& out) { return bench(*o, out); });
  app.add_option("ENGINE", o->path, "An engine, or a model, which is built first and cached")->required();
  app.add_option("-t,--threads", o->threads, "Threads; 0: all CPUs")->check(CLI::Range(0, 256));
  app.add_option("-s,--seconds", o->seconds, "How long to measure")->check(CLI::Range(0.0, 1e6))->capture_default_str();
  app.add_option("--profile", o->profile, "Write the time of each kernel as a Chrome trace, and show a table")
      ->type_name("TRACE.json");
  app.add_option("--inputs", o->npz, "npz file with an array for each input; default: made up, always the same");
  app.add_option("--input", o->files, "One input from an npy file, or from raw bytes")
      ->type_name("NAME=FILE")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_flag("--trust", o->trust, "Run the engine's native code although nobody vouches for it");
  o->build.add_to(app);
}

}  // namespace lathe::cli
