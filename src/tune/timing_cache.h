// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"

struct sqlite3;

namespace lathe::tune {

/// The decision that was measured for one key.
struct Record {
  std::string tactic;
  double nanoseconds = 0;          ///< of the tactic
  double default_nanoseconds = 0;  ///< of the cost model's choice, in the same rounds
};

/// What was measured, in a SQLite file. Records belong to one kind of CPU and one lathe version; those of others are
/// kept and not seen. Several processes may use one file at a time.
class TimingCache {
 public:
  /// `path` "": this user's, $XDG_CACHE_HOME/lathe/timings.sqlite or ~/.cache/lathe/timings.sqlite; made if need be.
  /// kDamaged: not such a file.
  static Result<TimingCache> open(const std::string& path = "");

  Result<std::optional<Record>> find(const std::string& key) const;
  Status put(const std::string& key, const Record& record);

  /// All records, whatever machine they are from, as one JSON document; how many there were.
  Result<int> export_json(const std::string& path) const;
  /// Adds the records of such a document (an equal key's is replaced); how many. kDamaged says what is wrong with it;
  /// then nothing is added.
  Result<int> import_json(const std::string& path);

  /// How records of this machine are marked: model name and instruction sets.
  static std::string this_cpu();

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace lathe::tune
