// SPDX-License-Identifier: Apache-2.0
#include "cli/npz.h"

#include <zip.h>

#include <algorithm>
#include <set>

#include "base/atomic_file.h"
#include "base/mapped_file.h"

namespace lathe::cli {
namespace {

constexpr std::string_view kSuffix = ".npy";

struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
struct FreeSource {
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};

}  // namespace

void NpzReader::Close::operator()(zip* archive) const { zip_discard(archive); }

Result<NpzReader> NpzReader::open(const std::string& path) {
  LATHE_TRY([[maybe_unused]] const File readable, File::open(path));  // for its messages
  NpzReader reader;
  reader.path_ = path;
  int code = 0;
  reader.archive_.reset(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (!reader.archive_) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    return fail(Code::kDamaged, path + ": not a readable npz file: " + why);
  }
  std::set<std::string> seen;
  const auto count = static_cast<zip_uint64_t>(zip_get_num_entries(reader.archive_.get(), 0));
  for (zip_uint64_t i = 0; i < count; ++i) {
    const char* raw = zip_get_name(reader.archive_.get(), i, ZIP_FL_ENC_GUESS);
    std::string name = raw ? raw : "";
    if (!name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    if (!seen.insert(name).second) return fail(Code::kDamaged, path + ": two arrays are named \"" + name + '"');
    reader.names_.push_back(std::move(name));
    reader.indices_.push_back(i);
  }
  return reader;
}

Result<NpyArray> NpzReader::read(const std::string& name, const HeaderCheck& check) const {
  const std::string where = path_ + ": array \"" + name + '"';
  const auto at = static_cast<size_t>(std::ranges::find(names_, name) - names_.begin());
  const std::unique_ptr<zip_file_t, CloseFile> file(zip_fopen_index(archive_.get(), indices_.at(at), 0));
  if (!file) return fail(Code::kDamaged, where + ": " + zip_strerror(archive_.get()));
  return read_npy(
      where,
      [&](std::span<std::byte> out) -> Result<size_t> {
        const zip_int64_t n = zip_fread(file.get(), out.data(), out.size());
        if (n < 0) return fail(Code::kDamaged, where + ": " + zip_file_strerror(file.get()));
        return static_cast<size_t>(n);
      },
      check);
}

Result<NpyArray> read_npy_file(const std::string& path, const HeaderCheck& check) {
  LATHE_TRY(const File file, File::open(path));
  uint64_t at = 0;
  return read_npy(
      path,
      [&](std::span<std::byte> out) -> Result<size_t> {
        out = out.first(std::min<uint64_t>(out.size(), file.size() - at));
        LATHE_CHECK(file.read(at, out));
        at += out.size();
        return out.size();
      },
      check);
}

Status write_npz(const std::string& path, std::span<const NamedTensor> tensors) {
  zip_error_t error;
  zip_error_init(&error);
  const auto failed = [&](const char* why) -> Status { return fail(Code::kFailed, path + ": cannot write: " + why); };
  const std::unique_ptr<zip_source_t, FreeSource> memory(zip_source_buffer_create(nullptr, 0, 0, &error));
  if (!memory) return failed(zip_error_strerror(&error));
  zip_t* archive = zip_open_from_source(memory.get(), ZIP_TRUNCATE, &error);
  if (!archive) return failed(zip_error_strerror(&error));
  zip_source_keep(memory.get());  // zip_close releases the archive's reference, this one is ours

  std::vector<std::vector<std::byte>> files;  // libzip reads them when it closes the archive
  for (const NamedTensor& t : tensors) {
    files.push_back(write_npy(t.tensor));
    zip_source_t* source = zip_source_buffer(archive, files.back().data(), files.back().size(), 0);
    const zip_int64_t index =
        source ? zip_file_add(archive, (t.name + std::string(kSuffix)).c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
      if (source) zip_source_free(source);
      const std::string why = zip_strerror(archive);
      zip_discard(archive);
      return failed(why.c_str());
    }
    // Fixed time (1980, the zip format's first) and no compression: as numpy.savez writes it.
    zip_file_set_dostime(archive, static_cast<zip_uint64_t>(index), 0, 1 << 5 | 1, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
  }
  if (zip_close(archive) != 0) {
    const std::string why = zip_strerror(archive);
    zip_discard(archive);
    return failed(why.c_str());
  }

  std::vector<std::byte> bytes;
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_source_stat(memory.get(), &stat) != 0 || !(stat.valid & ZIP_STAT_SIZE) || zip_source_open(memory.get()) != 0)
    return failed(zip_error_strerror(zip_source_error(memory.get())));
  bytes.resize(stat.size);
  const zip_int64_t got = zip_source_read(memory.get(), bytes.data(), bytes.size());
  zip_source_close(memory.get());
  if (got != static_cast<zip_int64_t>(bytes.size())) return failed("the archive could not be read back");
  const std::span<const std::byte> piece = bytes;
  return write_file_atomically(path, {&piece, 1});
}

}  // namespace lathe::cli
