// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "base/mapped_file.h"
#include "cli/command.h"
#include "engine/read.h"

namespace lathe::cli {
namespace {

Status verify(const std::string& path, const Output& out) {
  LATHE_TRY(const File file, File::open(path));
  LATHE_CHECK(verify_engine(file));
  LATHE_TRY(const EngineHead head, read_head(file));
  const std::string signer = head.is_signed ? to_hex(head.signer) : "";
  out.line("{}: whole and unaltered, {}", path, head.is_signed ? "signed by " + signer : "not signed");
  out.document({{"engine", path},
                {"identity", to_hex(head.identity)},
                {"signed", head.is_signed},
                {"signer", head.is_signed ? Json(signer) : Json()}});
  return {};
}

}  // namespace

void add_verify(Commands& commands) {
  const auto path = std::make_shared<std::string>();
  CLI::App& app = commands.add("verify", "Check every byte of an engine: structure, hashes, signature",
                               "lathe verify model.lathe", [path](const Output& out) { return verify(*path, out); });
  app.add_option("ENGINE", *path, "An engine")->required();
}

}  // namespace lathe::cli
