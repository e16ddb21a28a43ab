// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "base/atomic_file.h"
#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/inspection.h"
#include "cli/open.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string path, html;
  bool text = false;
  BuildFlags build;
};

/// The optimised graph of a model; an engine keeps only its plan.
Result<std::string> listing(const Options& o) {
  if (is_engine_file(o.path)) return plan_text(o.path);
  LATHE_TRY(const compiler::BuildOptions options, o.build.parsed());
  LATHE_TRY(const compiler::Table* table, compiler_library());
  auto text = table->graph_text(o.path, options, true);
  if (!text) return std::unexpected(as_error(text.error()));
  return *std::move(text);
}

Status inspect(const Options& o, const Output& out) {
  if (o.text) {
    LATHE_TRY(const std::string text, listing(o));
    out.text(text.ends_with('\n') ? text : text + '\n');
    out.document({{"path", o.path}, {"text", text}});
    return {};
  }
  std::string engine = o.path;
  if (!is_engine_file(o.path)) {
    EngineOptions only_look;
    only_look.inspect_only = true;
    LATHE_TRY(const Opened opened, open_engine_or_model(o.path, o.build, only_look, out));
    engine = opened.path;
  }
  LATHE_TRY(Json inspection, inspect_engine(engine));
  if (engine != o.path) inspection["model"] = o.path;
  if (!o.html.empty()) {
    const std::string page = inspection_html(inspection, std::filesystem::path(o.path).filename().string());
    const auto piece = std::as_bytes(std::span(page));
    LATHE_CHECK(write_file_atomically(o.html, {&piece, 1}));
    out.line("{}: written", o.html);
  } else {
    out.text(inspection_text(inspection));
  }
  out.document(inspection);
  return {};
}

}  // namespace

void add_inspect(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app =
      commands.add("inspect", "Show what an engine or a model becomes: which kernel runs each node, and how",
                   "lathe inspect model.onnx --html model.html", [o](const Output& out) { return inspect(*o, out); });
  app.add_option("ENGINE", o->path, "An engine, or a model, which is built first and cached")->required();
  auto* text = app.add_flag("--text", o->text, "The optimised graph of a model, or the plan of an engine, as text");
  app.add_option("--html", o->html, "Write a page that needs nothing but a browser")->excludes(text);
  o->build.add_to(app);
}

}  // namespace lathe::cli
