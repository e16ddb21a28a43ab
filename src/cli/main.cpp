// SPDX-License-Identifier: Apache-2.0
// The command line: parses, runs one subcommand, turns its Status into the exit code. CLI11 throws; no exception
// leaves this file.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "cli/command.h"
#include "cli/suggest.h"

namespace lathe::cli {

#define LATHE_COMMAND_ENTRY(stem) void add_##stem(Commands& commands);
#include "commands_list.inc"
#undef LATHE_COMMAND_ENTRY

CLI::App& Commands::add(const std::string& name, const std::string& summary, const std::string& example, Body body) {
  CLI::App& app = *root_.add_subcommand(name, summary);
  app.footer("Example:\n  " + example);
  app.add_flag("--json", out_.json, "One JSON document on standard output, nothing else there");
  app.add_flag("-q,--quiet", out_.quiet, "Only errors");
  app.add_flag("-v,--verbose", out_.verbose, "Say more");
  app.callback([this, body = std::move(body)] { chosen_ = body; });
  return app;
}

Status Commands::run() const { return chosen_(out_); }

namespace {

/// `--shape a=1x2 b=3` means `--shape a=1x2 --shape b=3`: CLI11 would take the model's path as one more value.
std::vector<std::string> repeat_list_options(std::vector<std::string> args) {
  constexpr std::array<std::string_view, 6> kLists = {"--shape",     "--value",     "--min-shape",
                                                      "--opt-shape", "--max-shape", "--input"};
  std::vector<std::string> out;
  for (size_t i = 0; i < args.size(); ++i) {
    out.push_back(args[i]);
    if (args[i] == "--") {
      out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (std::ranges::find(kLists, args[i]) == kLists.end() || i + 1 == args.size()) continue;
    const std::string option = args[i];
    out.push_back(args[++i]);
    while (i + 1 < args.size() && !args[i + 1].starts_with('-') && args[i + 1].find('=') != std::string::npos) {
      out.push_back(option);
      out.push_back(args[++i]);
    }
  }
  return out;
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& args) {
  const CLI::App* at = &app;
  for (const CLI::App* sub : app.get_subcommands()) at = sub;
  std::string message = error.what();
  if (at == &app && !args.empty() && !args[0].starts_with('-')) {
    std::vector<std::string> names;
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(sub->get_name());
    message = "there is no command \"" + args[0] + "\"" + did_you_mean(args[0], names);
  }
  return message + "; see `" + (at == &app ? "lathe --help" : "lathe " + at->get_name() + " --help") + "`";
}

int main_without_exceptions(int argc, char** argv) {
  // A file-size limit is an error to report (disk full), not a reason to die.
  std::signal(SIGXFSZ, SIG_IGN);

  CLI::App app("lathe turns a trained model into the fastest engine for a device, and runs it there.", "lathe");
  app.set_version_flag("--version", "lathe " LATHE_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 failed while running, 2 usage, 3 not supported, 4 damaged or unknown file,\n"
      "5 integrity or signature, 6 no code for this device, 130 interrupted.\n"
      "Example:\n  lathe build model.onnx -o model.lathe && lathe bench model.lathe");
  Commands commands(app);
#define LATHE_COMMAND_ENTRY(stem) add_##stem(commands);
#include "commands_list.inc"
#undef LATHE_COMMAND_ENTRY

  std::vector<std::string> args = repeat_list_options({argv + 1, argv + argc});
  const std::vector<std::string> given = args;
  Output out;
  out.json = std::ranges::find(given, "--json") != given.end();
  try {
    std::ranges::reverse(args);  // as CLI11 wants them
    app.parse(args);
  } catch (const CLI::Success& asked_for_help) {
    app.exit(asked_for_help);
    return 0;
  } catch (const CLI::ParseError& error) {
    report(out, {Code::kUsage, usage_message(app, error, given)});
    return static_cast<int>(Code::kUsage);
  }
  out = commands.output();
  Status status = commands.run();
  if (status) status = Output::flush();
  if (status) return 0;
  report(out, status.error());
  std::fflush(stdout);
  return static_cast<int>(status.error().code);
}

}  // namespace
}  // namespace lathe::cli

int main(int argc, char** argv) {
  try {
    return lathe::cli::main_without_exceptions(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("error: out of memory\n", stderr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
  }
  return 1;
}
