// SPDX-License-Identifier: Apache-2.0
// The importer of torch.export's archives. Random bytes do not pass a zip's checksums, so the first byte chooses: a
// whole archive; the model's JSON in an archive with one weight; the pickle of a file of torch.save.

#include <memory>
#include <string>
#include <vector>

#include "../tests/zip_file.h"
#include "import/pt2/importer.h"
#include "import/pt2/pickle.h"

namespace {

using namespace lathe;
using lathe::testing::zipped;

constexpr size_t kMostBytes = 1 << 22;

constexpr const char* kWeights = R"({"config": {"w": {"path_name": "weight_0", "is_param": true, "use_pickle": false,
  "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}],
  "storage_offset": {"as_int": 0}, "layout": 7}}}})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto keep = [](std::string bytes) {
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    return importer::FileBytes{*owner, owner};
  };
  ImportOptions options;
  options.max_tensor_bytes = kMostBytes;
  const std::string weight(24, '\1');
  if (data[0] % 3 == 0)
    (void)pt2::import_pt2(keep(rest), "fuzz.pt2", options);
  else if (data[0] % 3 == 1)
    (void)pt2::import_pt2(keep(zipped({{"m/models/model.json", rest},
                                       {"m/data/weights/model_weights_config.json", kWeights},
                                       {"m/data/weights/weight_0", weight}})),
                          "fuzz.pt2", options);
  else
    (void)pt2::read_tensors(keep(zipped({{"a/data.pkl", rest}, {"a/data/0", weight}})), kMostBytes);
  return 0;
}
