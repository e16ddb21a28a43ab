// SPDX-License-Identifier: Apache-2.0
#include "import/model_input.h"

#include <algorithm>

#include "import/builder.h"

namespace lathe::importer {

Result<ValueId> add_model_input(Graph& graph, const ModelInput& input, const ImportOptions& options) {
  const std::string what = "input \"" + input.name + "\"";
  if (const auto fixed = options.values.find(input.name); fixed != options.values.end()) {
    if (fixed->second.dtype() != input.dtype || (input.shape && fixed->second.dims().size() != input.shape->size()))
      return fail(Code::kUsage, what + ": the given value has another type or rank than the model's input");
    return graph.add_constant(input.name, fixed->second);
  }
  const auto given = options.shapes.find(input.name);
  if (!input.shape && given == options.shapes.end())
    return fail(Code::kUnsupported, what + " has no shape in the model; give one with --shape " + input.name + "=…");
  Shape shape = input.shape.value_or(Shape{});
  if (given != options.shapes.end()) {
    const Shape& wanted = given->second;
    bool fits = !input.shape || wanted.size() == shape.size();
    for (size_t d = 0; fits && input.shape && d < shape.size(); ++d)
      fits = !shape[d].is_const() || shape[d] == wanted[d];
    if (!fits)
      return fail(Code::kUsage,
                  what + ": shape " + shape_str(wanted) + " does not fit the model's " + shape_str(shape));
    shape = wanted;
  }
  if (shape.size() > 32) return fail(Code::kUnsupported, what + ": rank above 32");
  const auto dims = static_dims(shape);
  if (dims && !checked_bytes(input.dtype, *dims, options.max_tensor_bytes))
    return fail(Code::kDamaged, what + ": shape " + shape_str(shape) + " gives an impossible size");
  return graph.add_input(input.name, input.dtype, std::move(shape));
}

Status check_input_names(const ImportOptions& options, const std::vector<std::string>& names) {
  const auto check = [&](const std::string& name) -> Status {
    if (std::ranges::find(names, name) != names.end()) return {};
    std::string list;
    for (const auto& n : names) list += (list.empty() ? "" : ", ") + n;
    return fail(Code::kUsage, "there is no input \"" + name + "\"; the model's are: " + list);
  };
  for (const auto& [name, value] : options.values) LATHE_CHECK(check(name));
  for (const auto& [name, shape] : options.shapes) LATHE_CHECK(check(name));
  return {};
}

}  // namespace lathe::importer
