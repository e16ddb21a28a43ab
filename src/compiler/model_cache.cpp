// SPDX-License-Identifier: Apache-2.0
#include "compiler/model_cache.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>

#include "base/cpu_features.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "lathe/lathe.h"

namespace lathe::compiler {
namespace {

namespace fs = std::filesystem;

std::unexpected<Failure> failed(Code code, std::string message) {
  return std::unexpected(Failure{static_cast<int>(code), std::move(message)});
}

Result<fs::path> cache_folder() {
  const auto environment = [](const char* name) -> std::string_view {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  // The XDG rules: a relative path counts as not set.
  if (const auto xdg = environment("XDG_CACHE_HOME"); xdg.starts_with('/')) return fs::path(xdg) / "lathe";
  if (const auto home = environment("HOME"); home.starts_with('/')) return fs::path(home) / ".cache" / "lathe";
  return failed(Code::kUsage, "no folder for cached engines: set HOME or XDG_CACHE_HOME, or use `lathe build`");
}

/// A key is hashed as a sequence of labelled strings with their lengths, so that no two sequences look the same.
class Key {
 public:
  void add(std::string_view label, std::string_view value) {
    const std::string head = fmt::format("{}:{}:", label, value.size());
    stream_.update(std::as_bytes(std::span(head)));
    stream_.update(std::as_bytes(std::span(value)));
  }
  void add(std::string_view label, const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
      add(label, name);
      add("=", value);
    }
  }
  [[nodiscard]] std::string finish() { return to_hex(stream_.finish()); }

 private:
  Sha256Stream stream_;
};

/// Where the model says that tensors are kept in other files. An ONNX file names them in entries {key: "location",
/// value: name}; looking for an entry's bytes finds those of subgraphs and functions too, and what is found by
/// accident names no file.
std::set<std::string> external_files(std::span<const std::byte> model) {
  constexpr std::string_view kEntry("\x0a\x08location\x12", 11);
  const std::string_view text(reinterpret_cast<const char*>(model.data()), model.size());
  std::set<std::string> out;
  for (size_t at = text.find(kEntry); at != std::string_view::npos; at = text.find(kEntry, at + 1)) {
    size_t size = 0, from = at + kEntry.size();
    for (int shift = 0; from < text.size() && shift < 21; shift += 7) {
      const auto byte = static_cast<unsigned char>(text[from++]);
      size |= static_cast<size_t>(byte & 127) << shift;
      if (!(byte & 128)) break;
    }
    if (size <= text.size() - from) out.emplace(text.substr(from, size));
  }
  return out;
}

Result<std::string> hash_file(const std::string& path, std::set<std::string>* external) {
  const auto as_failure = [](const Error& e) { return failed(e.code, e.message); };
  const auto file = File::open(path);
  if (!file) return as_failure(file.error());
  if (file->size() == 0) return std::string("empty");
  const auto mapping = file->map(0, file->size());
  if (!mapping) return as_failure(mapping.error());
  if (external) *external = external_files(mapping->bytes());
  return to_hex(sha256(mapping->bytes()));
}

Status add_folder(Key& key, const fs::path& folder) {
  std::error_code error;
  std::set<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error)) files.insert(it->path());
  if (error) return fail(Code::kFailed, folder.string() + ": cannot list: " + error.message());
  for (const fs::path& file : files) {
    const auto hash = hash_file(file.string(), nullptr);
    if (!hash) return fail(static_cast<Code>(hash.error().code), hash.error().message);
    key.add("file", fs::relative(file, folder, error).string());
    key.add("hash", *hash);
  }
  return {};
}

Status add_model(Key& key, const std::string& model) {
  std::error_code error;
  if (fs::is_directory(model, error)) return add_folder(key, model);
  std::set<std::string> external;
  const auto hash = hash_file(model, &external);
  if (!hash) return fail(static_cast<Code>(hash.error().code), hash.error().message);
  key.add("model", *hash);
  for (const std::string& name : external) {
    const fs::path relative = fs::path(name).lexically_normal();
    if (relative.is_absolute() || relative.string().starts_with("..")) continue;  // never read: the importer says why
    if (const auto data = hash_file((fs::path(model).parent_path() / relative).string(), nullptr)) {
      key.add("external", name);
      key.add("hash", *data);
    }
  }
  return {};
}

/// Which compiler this is: its version, and for builds between versions the library file itself.
std::string compiler_identity() {
  std::string out = LATHE_VERSION;
  Dl_info info{};
  struct stat file{};
  if (dladdr(reinterpret_cast<const void*>(&compiler_identity), &info) && info.dli_fname &&
      stat(info.dli_fname, &file) == 0)
    out += fmt::format(" {} {}.{}", file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
  return out;
}

Result<std::string> key_of(const std::string& model, const BuildOptions& o) {
  Key key;
  key.add("compiler", compiler_identity());
  key.add("cpu", host_cpu().model);
  for (const std::string& feature : host_cpu().features) key.add("feature", feature);
  for (const std::string& target : o.targets) key.add("target", target);
  key.add("options", fmt::format("{}|{}|{}|{}|{}", o.math, o.precision, o.tune, o.strict, o.memory_limit));
  key.add("signature", o.signature);
  for (const lathe_operator* op : o.operators) {
    key.add("operator", op->domain ? op->domain : "");
    key.add("name", op->name ? op->name : "");
  }
  if (o.precision != "fp32") {
    const QuantizeOptions& q = o.quantize;
    const ImageOptions& i = q.calibration.images;
    key.add("calibration", q.calibration.identity);
    key.add("quantize", fmt::format("{}|{}|{}|{}|{}|{}", q.calibrator, q.percentile, q.activations, q.correct_bias,
                                    q.max_loss, q.calibration.limit));
    key.add("images",
            fmt::format("{}|{}|{}|{}|{}", i.fit, i.bgr, i.scale, fmt::join(i.mean, ","), fmt::join(i.deviation, ",")));
    if (q.weight_block) key.add("weight_block", std::to_string(*q.weight_block));
    if (q.weight_zeros) key.add("weight_zeros", *q.weight_zeros ? "yes" : "no");
    for (const std::string& name : q.keep_float) key.add("keep", name);
  }
  key.add("shape", o.shapes);
  key.add("value", o.values);
  key.add("min", o.min_shapes);
  key.add("opt", o.opt_shapes);
  key.add("max", o.max_shapes);
  if (const auto status = add_model(key, model); !status) return failed(status.error().code, status.error().message);
  return key.finish();
}

/// Removes the engines used longest ago until the rest fits.
void prune(const fs::path& folder, const fs::path& keep) {
  uintmax_t limit = uintmax_t{8} << 30;
  if (const char* value = std::getenv("LATHE_CACHE_LIMIT")) limit = std::strtoull(value, nullptr, 10);
  struct Entry {
    fs::file_time_type used;
    uintmax_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  uintmax_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().extension() != ".lathe") continue;
    entries.push_back({it->last_write_time(ignored), it->file_size(ignored), it->path()});
    if (ignored)
      entries.pop_back();  // another process removed it
    else
      total += entries.back().bytes;
  }
  std::ranges::sort(entries, {}, &Entry::used);
  for (const Entry& e : entries) {
    if (total <= limit) break;
    if (e.path == keep) continue;
    if (fs::remove(e.path, error)) total -= e.bytes;
  }
}

}  // namespace

Result<CachedEngine> cached_engine(const std::string& model, const BuildOptions& options, bool rebuild) {
  const auto folder = cache_folder();
  if (!folder) return std::unexpected(folder.error());
  std::error_code error;
  if (!fs::exists(model, error)) return failed(Code::kUsage, model + ": no such file");
  const auto key = key_of(model, options);
  if (!key) return std::unexpected(key.error());
  const fs::path path = *folder / (*key + ".lathe");

  CachedEngine out{.path = path.string(), .built = false, .report = {}};
  if (!rebuild && fs::is_regular_file(path, error)) {
    fs::last_write_time(path, fs::file_time_type::clock::now(), error);
    return out;
  }
  fs::create_directories(*folder, error);
  if (error) return failed(Code::kFailed, folder->string() + ": cannot make the cache folder: " + error.message());
  auto report = build(model, out.path, options);
  if (!report) return std::unexpected(std::move(report).error());
  out.built = true;
  out.report = *std::move(report);
  prune(*folder, path);
  return out;
}

}  // namespace lathe::compiler
