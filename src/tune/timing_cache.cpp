// SPDX-License-Identifier: Apache-2.0
#include "tune/timing_cache.h"

#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "base/cpu_features.h"
#include "base/sha256.h"

namespace lathe::tune {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kSchema = R"(
  PRAGMA busy_timeout = 10000;
  CREATE TABLE IF NOT EXISTS timings (
    cpu TEXT NOT NULL, version TEXT NOT NULL, key TEXT NOT NULL, tactic TEXT NOT NULL,
    nanoseconds REAL NOT NULL, default_nanoseconds REAL NOT NULL,
    PRIMARY KEY (cpu, version, key)) WITHOUT ROWID;
)";

std::string user_path() {
  const auto absolute = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value && value[0] == '/' ? value : "";
  };
  if (const fs::path xdg = absolute("XDG_CACHE_HOME"); !xdg.empty()) return xdg / "lathe" / "timings.sqlite";
  if (const fs::path home = absolute("HOME"); !home.empty()) return home / ".cache" / "lathe" / "timings.sqlite";
  return "";
}

std::unexpected<Error> problem(sqlite3* db, int code) {
  const int kind = code & 0xFF;
  const bool damaged = kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT || kind == SQLITE_SCHEMA;
  const char* path = sqlite3_db_filename(db, nullptr);
  return fail(damaged ? Code::kDamaged : Code::kFailed, std::string("timing cache ") + (path ? path : "") + ": " +
                                                            sqlite3_errmsg(db) +
                                                            (damaged ? "; delete it and tune again" : ""));
}

/// A prepared statement; `bind` in order, then `step`.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql) : db_(db) {
    code_ = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& text) {
    if (code_ == SQLITE_OK)
      code_ = sqlite3_bind_text(statement_, ++at_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(double value) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_double(statement_, ++at_, value);
    return *this;
  }
  /// True if there is a row.
  Result<bool> step() {
    if (code_ == SQLITE_OK || code_ == SQLITE_ROW) code_ = sqlite3_step(statement_);
    if (code_ == SQLITE_ROW) return true;
    if (code_ == SQLITE_DONE) return false;
    return problem(db_, code_);
  }
  [[nodiscard]] std::string text(int column) const {
    const auto* p = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return p ? p : "";
  }
  [[nodiscard]] double number(int column) const { return sqlite3_column_double(statement_, column); }

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK, at_ = 0;
};

Status insert(sqlite3* db, const std::string& cpu, const std::string& version, const std::string& key,
              const Record& r) {
  LATHE_TRY(const bool row, Statement(db, "INSERT OR REPLACE INTO timings VALUES (?, ?, ?, ?, ?, ?)")
                                .bind(cpu)
                                .bind(version)
                                .bind(key)
                                .bind(r.tactic)
                                .bind(r.nanoseconds)
                                .bind(r.default_nanoseconds)
                                .step());
  return row ? fail(Code::kFailed, "timing cache: an insertion gave a row") : Status();
}

Status execute(sqlite3* db, const char* sql) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : problem(db, code);
}

struct Entry {
  std::string cpu, version, key;
  Record record;
};

Result<std::vector<Entry>> parse(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(Code::kUsage, path + ": cannot be read");
  const Json document = Json::parse(file, nullptr, false);
  const auto damaged = [&](const std::string& what) { return fail(Code::kDamaged, path + ": " + what); };
  if (!document.is_object() || !document.contains("timings") || !document["timings"].is_array())
    return damaged("no JSON document with a list \"timings\"; `lathe tune export` writes them");
  std::vector<Entry> entries;
  for (const Json& row : document["timings"]) {
    const auto text = [&](const char* name) -> std::string {
      return row.is_object() && row.contains(name) && row[name].is_string() ? row[name].get<std::string>() : "";
    };
    const auto number = [&](const char* name) {
      return row.is_object() && row.contains(name) && row[name].is_number() ? row[name].get<double>() : -1;
    };
    Entry e{text("cpu"),
            text("version"),
            text("key"),
            {text("tactic"), number("nanoseconds"), number("default_nanoseconds")}};
    if (e.cpu.empty() || e.version.empty() || e.key.empty() || e.record.tactic.empty() || e.record.nanoseconds < 0 ||
        e.record.default_nanoseconds < 0)
      return damaged("entry " + std::to_string(entries.size()) +
                     " of \"timings\" needs cpu, version, key and tactic as text and both times as numbers");
    entries.push_back(std::move(e));
  }
  return entries;
}

}  // namespace

void TimingCache::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

std::string TimingCache::this_cpu() {
  const HostCpu& cpu = host_cpu();
  std::string features;
  for (const std::string& f : cpu.features) features += f + ",";
  const std::string hash = to_hex(sha256(std::as_bytes(std::span(features))));
  return (cpu.model.empty() ? cpu.arch : cpu.model) + " " + hash.substr(0, 12);
}

Result<TimingCache> TimingCache::open(const std::string& given) {
  const std::string path = given.empty() ? user_path() : given;
  if (path.empty()) return fail(Code::kUsage, "no folder for the timing cache: set HOME or XDG_CACHE_HOME");
  std::error_code error;
  if (const fs::path parent = fs::path(path).parent_path(); !parent.empty()) fs::create_directories(parent, error);
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  TimingCache cache;
  cache.db_.reset(db);
  if (!db) return fail(Code::kFailed, "timing cache " + path + ": out of memory");
  if (code != SQLITE_OK) return problem(db, code);
  LATHE_CHECK(execute(db, kSchema));
  return cache;
}

Result<std::optional<Record>> TimingCache::find(const std::string& key) const {
  Statement s(db_.get(),
              "SELECT tactic, nanoseconds, default_nanoseconds FROM timings WHERE cpu = ? AND version = ? AND key = ?");
  LATHE_TRY(const bool row, s.bind(this_cpu()).bind(std::string(LATHE_VERSION)).bind(key).step());
  if (!row) return std::nullopt;
  return Record{s.text(0), s.number(1), s.number(2)};
}

Status TimingCache::put(const std::string& key, const Record& record) {
  return insert(db_.get(), this_cpu(), LATHE_VERSION, key, record);
}

Result<int> TimingCache::export_json(const std::string& path) const {
  Json rows = Json::array();
  Statement s(db_.get(),
              "SELECT cpu, version, key, tactic, nanoseconds, default_nanoseconds FROM timings ORDER BY 1, 2, 3");
  for (;;) {
    LATHE_TRY(const bool row, s.step());
    if (!row) break;
    rows.push_back({{"cpu", s.text(0)},
                    {"version", s.text(1)},
                    {"key", s.text(2)},
                    {"tactic", s.text(3)},
                    {"nanoseconds", s.number(4)},
                    {"default_nanoseconds", s.number(5)}});
  }
  const auto count = static_cast<int>(rows.size());
  const std::string text = Json{{"timings", std::move(rows)}}.dump(1) + "\n";
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  LATHE_CHECK(write_file_atomically(path, std::span(&bytes, 1)));
  return count;
}

Result<int> TimingCache::import_json(const std::string& path) {
  LATHE_TRY(const std::vector<Entry> entries, parse(path));
  LATHE_CHECK(execute(db_.get(), "BEGIN IMMEDIATE"));
  for (const Entry& e : entries)
    if (const Status s = insert(db_.get(), e.cpu, e.version, e.key, e.record); !s) {
      const Status undone = execute(db_.get(), "ROLLBACK");
      return undone ? std::unexpected(s.error()) : std::unexpected(undone.error());
    }
  LATHE_CHECK(execute(db_.get(), "COMMIT"));
  return static_cast<int>(entries.size());
}

}  // namespace lathe::tune
