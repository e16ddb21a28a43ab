// SPDX-License-Identifier: Apache-2.0
#include "import/pt2/weights.h"

#include "import/pt2/pickle.h"

namespace lathe::pt2 {

Result<Weights> Weights::open(std::shared_ptr<const importer::Archive> archive, const std::string& model,
                              size_t max_bytes) {
  Weights w;
  w.archive_ = std::move(archive);
  w.max_bytes_ = max_bytes;
  LATHE_CHECK(w.fill(w.state_, "data/weights/", "data/weights/" + model + "_weights_config.json",
                     {"data/weights/" + model + ".pt", "serialized_state_dict.pt", "serialized_state_dict.json"}));
  LATHE_CHECK(w.fill(w.constants_, "data/constants/", "data/constants/" + model + "_constants_config.json",
                     {"data/constants/" + model + ".pt", "serialized_constants.pt", "serialized_constants.json"}));
  return w;
}

Status Weights::fill(Store& store, const std::string& folder, const std::string& config,
                     std::initializer_list<std::string> pickles) {
  store.folder = folder;
  if (archive_->has(config)) {
    LATHE_TRY(const auto json, archive_->read(config));
    auto payloads = schema::parse_payloads(json.bytes);
    if (!payloads) return fail(payloads.error().code, config + ": " + payloads.error().message);
    store.payloads = *std::move(payloads);
    return {};
  }
  for (const std::string& name : pickles)
    if (archive_->has(name)) {
      LATHE_TRY(const auto file, archive_->read(name));
      auto tensors = read_tensors(file, max_bytes_);
      if (!tensors) return fail(tensors.error().code, name + ": " + tensors.error().message);
      store.tensors = *std::move(tensors);
      return {};
    }
  return {};
}

Result<Tensor> Weights::read(const Store& store, const std::string& name) const {
  const auto where = [&](Error e) { return fail(e.code, "tensor \"" + name + "\": " + e.message); };
  if (const auto it = store.tensors.find(name); it != store.tensors.end()) return it->second;
  const auto it = store.payloads.find(name);
  if (it == store.payloads.end()) return fail(Code::kDamaged, "the archive has no tensor \"" + name + "\"");
  const schema::Payload& p = it->second;
  auto file = archive_->read(store.folder + p.path);
  if (!file) return where(file.error());
  if (p.pickled) {
    auto tensors = read_tensors(*file, max_bytes_);
    if (!tensors) return where(tensors.error());
    if (const auto single = tensors->find(""); single != tensors->end()) return single->second;
    return fail(Code::kUnsupported, "tensor \"" + name + "\" is an object of Python");
  }
  if (!p.meta || !p.meta->sizes) return fail(Code::kDamaged, "tensor \"" + name + "\" has no sizes");
  const auto sizes = static_dims(*p.meta->sizes);
  if (!sizes || !p.meta->fixed) return fail(Code::kDamaged, "tensor \"" + name + "\" has sizes that are not numbers");
  if (p.meta->dtype == DType::kUndefined || !p.meta->strided)
    return fail(Code::kUnsupported, "tensor \"" + name + "\" has an element type or layout that is not supported");
  auto t = strided_tensor(p.meta->dtype, *sizes, p.meta->strides, p.meta->offset, *file, max_bytes_);
  if (!t) return where(t.error());
  return t;
}

}  // namespace lathe::pt2
