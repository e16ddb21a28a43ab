// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "import/archive.h"
#include "import/pt2/schema.h"
#include "ir/tensor.h"

namespace lathe::pt2 {

/// The tensors of an archive by their names in the model: one file a storage with a list of what lies where (torch 2.9
/// and later), or files that torch.save wrote (before).
class Weights {
 public:
  /// Reads the lists; the tensors themselves when they are asked for.
  static Result<Weights> open(std::shared_ptr<const importer::Archive> archive, const std::string& model,
                              size_t max_bytes);

  /// A parameter or buffer.
  [[nodiscard]] Result<Tensor> state(const std::string& name) const { return read(state_, name); }
  /// A lifted tensor or a buffer that is not part of the state.
  [[nodiscard]] Result<Tensor> constant(const std::string& name) const { return read(constants_, name); }
  [[nodiscard]] bool has_state(const std::string& name) const {
    return state_.tensors.contains(name) || state_.payloads.contains(name);
  }

 private:
  struct Store {
    std::string folder;
    std::map<std::string, schema::Payload> payloads;
    std::map<std::string, Tensor> tensors;
  };
  Status fill(Store& store, const std::string& folder, const std::string& config,
              std::initializer_list<std::string> pickles);
  [[nodiscard]] Result<Tensor> read(const Store& store, const std::string& name) const;

  std::shared_ptr<const importer::Archive> archive_;
  size_t max_bytes_ = 0;
  Store state_, constants_;
};

}  // namespace lathe::pt2
