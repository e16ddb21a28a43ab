// SPDX-License-Identifier: Apache-2.0
#include "import/archive.h"

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace lathe::importer {

namespace {

constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint64_t kMaxRatio = 1100;  // deflate reaches 1032
constexpr size_t kChunk = 1 << 18;

struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

}  // namespace

// libzip reads the archive through the callbacks below. They note the position of the last read, which tells where the
// data of a stored entry lies; libzip has no call for that.
struct Archive::Position {
  std::string_view bytes;
  uint64_t at = 0, last = 0;
  zip_error_t error;

  static zip_int64_t callback(void* self, void* data, zip_uint64_t size, zip_source_cmd_t command) {
    auto& p = *static_cast<Position*>(self);
    switch (command) {
      case ZIP_SOURCE_OPEN:
        p.at = 0;
        return 0;
      case ZIP_SOURCE_READ: {
        const uint64_t count = std::min<uint64_t>(size, p.bytes.size() - p.at);
        if (count > 0) std::memcpy(data, p.bytes.data() + p.at, count);
        p.last = p.at;
        p.at += count;
        return static_cast<zip_int64_t>(count);
      }
      case ZIP_SOURCE_SEEK: {
        const zip_int64_t to = zip_source_seek_compute_offset(p.at, p.bytes.size(), data, size, &p.error);
        if (to < 0) return -1;
        p.at = static_cast<uint64_t>(to);
        return 0;
      }
      case ZIP_SOURCE_TELL:
        return static_cast<zip_int64_t>(p.at);
      case ZIP_SOURCE_STAT: {
        auto* stat = static_cast<zip_stat_t*>(data);
        zip_stat_init(stat);
        stat->size = p.bytes.size();
        stat->valid = ZIP_STAT_SIZE;
        return sizeof(*stat);
      }
      case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&p.error, data, size);
      case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, -1);
      default:  // CLOSE, FREE
        return 0;
    }
  }
};

void Archive::Close::operator()(zip* archive) const { zip_discard(archive); }

Result<Archive> Archive::open(FileBytes file, size_t max_bytes) {
  Archive a;
  a.file_ = std::move(file);
  a.max_bytes_ = max_bytes;
  a.position_ = std::make_shared<Position>();
  a.position_->bytes = a.file_.bytes;
  zip_error_init(&a.position_->error);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_function_create(&Position::callback, a.position_.get(), &error);
  if (source) a.archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
  if (!a.archive_) {
    const std::string why = zip_error_strerror(&error);
    if (source) zip_source_free(source);
    zip_error_fini(&error);
    return damaged("not a readable zip archive: " + why);
  }
  const auto count = static_cast<uint64_t>(zip_get_num_entries(a.archive_.get(), 0));
  if (count == 0 || count > kMaxEntries) return damaged("a zip archive of " + std::to_string(count) + " entries");
  std::vector<std::string> names;
  std::string folder;
  for (uint64_t i = 0; i < count; ++i) {
    const char* raw = zip_get_name(a.archive_.get(), i, ZIP_FL_ENC_RAW);
    std::string name = raw ? raw : "";
    const std::filesystem::path path(name);
    if (name.empty() || path.is_absolute() || name.find('\\') != std::string::npos ||
        std::ranges::any_of(path, [](const auto& part) { return part == ".."; }))
      return damaged("the archive holds an entry named \"" + name + "\", which is not a file inside it");
    const std::string first = name.substr(0, name.find('/') + 1);  // empty where there is none
    if (i == 0) folder = first;
    if (first != folder) folder.clear();
    names.push_back(std::move(name));
  }
  for (uint64_t i = 0; i < count; ++i) {
    std::string name = names[i].substr(folder.size());
    if (!a.index_.emplace(name, i).second) return damaged("the archive holds two entries named \"" + names[i] + "\"");
    a.names_.push_back(std::move(name));
  }
  return a;
}

Result<FileBytes> Archive::read(std::string_view name) const {
  const auto found = index_.find(name);
  const std::string what = "entry \"" + std::string(name) + "\"";
  if (found == index_.end()) return damaged("the archive has no " + what);
  if (const auto seen = seen_.find(found->second); seen != seen_.end()) return seen->second;
  zip_stat_t stat;
  zip_stat_init(&stat);
  constexpr zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if (zip_stat_index(archive_.get(), found->second, 0, &stat) != 0 || (stat.valid & wanted) != wanted)
    return damaged(what + " cannot be read: " + zip_strerror(archive_.get()));
  if (stat.size > max_bytes_)
    return fail(Code::kUnsupported, what + " has " + std::to_string(stat.size) + " bytes, more than the limit of " +
                                        std::to_string(max_bytes_));
  if (stat.comp_size > file_.bytes.size() || stat.size / kMaxRatio > stat.comp_size)
    return damaged(what + " claims " + std::to_string(stat.size) + " bytes from " + std::to_string(stat.comp_size));
  const std::unique_ptr<zip_file_t, CloseFile> file(zip_fopen_index(archive_.get(), found->second, 0));
  if (!file) return damaged(what + " cannot be read: " + zip_strerror(archive_.get()));
  const bool stored = stat.comp_method == ZIP_CM_STORE && stat.comp_size == stat.size;
  // A stored entry is read once for its checksum, and used in place.
  auto data = std::make_shared<std::vector<char>>(stored ? std::min<size_t>(stat.size, kChunk) : stat.size);
  uint64_t at = 0, start = 0;
  while (at < stat.size) {
    const size_t offset = stored ? 0 : at;
    // The first read is of one byte, so that none lies ahead of it.
    const size_t size = at == 0 ? 1 : std::min<size_t>(stat.size - at, data->size() - offset);
    const zip_int64_t n = zip_fread(file.get(), data->data() + offset, size);
    if (n <= 0) return damaged(what + " is cut off or does not agree with its checksum");
    if (at == 0) start = position_->last;
    if (stored && (start > file_.bytes.size() || stat.size > file_.bytes.size() - start ||
                   std::memcmp(file_.bytes.data() + start + at, data->data(), static_cast<size_t>(n)) != 0))
      return damaged(what + " does not lie where it should");
    at += static_cast<uint64_t>(n);
  }
  char beyond = 0;
  if (zip_fread(file.get(), &beyond, 1) != 0)
    return damaged(what + " does not agree with its size or checksum: " + zip_file_strerror(file.get()));
  FileBytes bytes;
  if (!stored)
    bytes = {{data->data(), data->size()}, data};
  else if (stat.size > 0)
    bytes = {file_.bytes.substr(start, stat.size), file_.owner};
  seen_[found->second] = bytes;
  return bytes;
}

}  // namespace lathe::importer
