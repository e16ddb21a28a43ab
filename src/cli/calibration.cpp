// SPDX-License-Identifier: Apache-2.0
#include "cli/calibration.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "cli/image.h"
#include "cli/npz.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

std::unexpected<compiler::Failure> as_failure(const Error& e) {
  return std::unexpected(compiler::Failure{static_cast<int>(e.code), e.message});
}

bool is_array_file(const fs::path& p) { return p.extension() == ".npz" || p.extension() == ".npy"; }

/// The files of a path: itself, or those of a folder that can be read, in the order of their names.
Result<std::vector<std::string>> files_of(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return fail(Code::kUsage, "--calibrate " + path + ": no such file or folder");
  if (!fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::set<std::string> files;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error) && (is_array_file(it->path()) || is_image_file(it->path().string())))
      files.insert(it->path().string());
  if (error) return fail(Code::kFailed, path + ": cannot list: " + error.message());
  if (files.empty())
    return fail(Code::kUsage, "--calibrate " + path +
                                  ": the calibration set is empty: the folder holds no npz, npy, jpg or png file");
  return std::vector<std::string>(files.begin(), files.end());
}

/// The element type of an npy file; floats that numpy lacks cannot be told from their bits.
DType type_of(const std::string& descr) {
  for (const DTypeInfo& t : kDTypes)
    if (t.dtype != DType::kUndefined && numpy_name(t.dtype) == describe_descr(descr)) return t.dtype;
  return DType::kUndefined;
}

Result<compiler::CalibrationArray> array_of(const std::string& where, const std::string& input, NpyArray array) {
  const DType type = type_of(array.header.descr);
  if (type == DType::kUndefined || dtype_bits(type) == 0)
    return fail(Code::kUsage, where + ": arrays of " + describe_descr(array.header.descr) + " calibrate nothing");
  return compiler::CalibrationArray{input, static_cast<int>(type), std::move(array.header.dims), std::move(array.data),
                                    false};
}

Result<std::vector<compiler::CalibrationArray>> read(const std::string& path) {
  std::vector<compiler::CalibrationArray> arrays;
  const HeaderCheck any = [](const NpyHeader&) -> Status { return {}; };
  if (is_image_file(path)) {
    LATHE_TRY(Image image, read_image(path));
    arrays.push_back(
        {"", static_cast<int>(DType::kU8), {image.height, image.width, image.channels}, std::move(image.pixels), true});
  } else if (fs::path(path).extension() == ".npy") {
    LATHE_TRY(auto array, read_npy_file(path, any));
    LATHE_TRY(arrays.emplace_back(), array_of(path, "", std::move(array)));
  } else {
    LATHE_TRY(const NpzReader reader, NpzReader::open(path));
    for (const std::string& name : reader.names()) {
      LATHE_TRY(auto array, reader.read(name, any));
      LATHE_TRY(arrays.emplace_back(), array_of(path + ": array \"" + name + '"', name, std::move(array)));
    }
  }
  return arrays;
}

Result<std::vector<double>> numbers(const std::string& text, const char* option) {
  std::vector<double> r;
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    double v = 0;
    const auto [next, error] = std::from_chars(at, end, v);
    if (error != std::errc() || (next != end && (*next != ',' || next + 1 == end)))
      return fail(Code::kUsage, std::string(option) + " " + text + ": write one number, or three with commas");
    r.push_back(v);
    at = next == end ? end : next + 1;
  }
  return r;
}

}  // namespace

void CalibrationFlags::add_to(CLI::App& app, compiler::QuantizeOptions& o, std::vector<CLI::Option*>& given) {
  const std::string group = "Quantization";
  const auto add = [&](CLI::Option* option) {
    given.push_back(option->group(group));
    return option;
  };
  add(app.add_option("--calibrate", paths, "Inputs to choose ranges by: npz or npy files, pictures, or folders of them")
          ->type_name("PATH")
          ->expected(1)
          ->allow_extra_args(false)
          ->take_all());
  add(app.add_option("--calibrator", o.calibrator, "How ranges are chosen; auto: the way measured best")
          ->check(CLI::IsMember({"auto", "minmax", "percentile", "entropy", "mse"}))
          ->capture_default_str());
  add(app.add_option("--percentile", o.percentile, "Of the elements, how many percent stay in the range")
          ->check(CLI::Range(50.0, 100.0))
          ->capture_default_str());
  add(app.add_option("--calibration-limit", o.calibration.limit, "Most samples to use; 0: all")
          ->check(CLI::NonNegativeNumber)
          ->capture_default_str());
  add(app.add_option("--activations", o.activations, "Bytes between layers: u8 with a zero point, or symmetric i8")
          ->check(CLI::IsMember({"u8", "i8"}))
          ->capture_default_str());
  add(app.add_flag("--bias-correction,!--no-bias-correction", o.correct_bias,
                   "Take off what rounding the weights adds to means (the default)"));
  add(app.add_option_function<std::string>(
             "--max-loss",
             [&o](const std::string& text) {
               const std::string number = text.ends_with('%') ? text.substr(0, text.size() - 1) : text;
               double v = 0;
               const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), v);
               if (error != std::errc() || end != number.data() + number.size() || !(v >= 0))
                 throw CLI::ValidationError("--max-loss", text + " is no percentage; write e.g. 0.5%");
               o.max_loss = v;
             },
             "Of --precision mixed, w4 and wfp4: most loss of the outputs, 100 * (1 - cosine); default 0.5%")
          ->type_name("PERCENT"));
  add(app.add_option("--weight-block", o.weight_block,
                     "Of w4 … wfp8: weights that share a scale; 0: a scale for each column")
          ->type_name("COUNT"));
  add(app.add_flag("--weight-zeros,!--no-weight-zeros", o.weight_zeros,
                   "Of w8 and w4: a zero point beside each scale (w4's default)"));
  add(app.add_option("--keep-float", o.keep_float, "Layers to leave in float; NAME* for all that begin so")
          ->type_name("NAME")
          ->delimiter(',')
          ->expected(1)
          ->allow_extra_args(false)
          ->take_all());
  compiler::ImageOptions& i = o.calibration.images;
  add(app.add_option("--image-fit", i.fit, "How a picture becomes as large as the input")
          ->check(CLI::IsMember({"stretch", "crop", "letterbox"}))
          ->capture_default_str());
  add(app.add_option("--image-scale", i.scale,
                     "Factor for bytes of pictures, before mean and deviation; default 1/255"));
  add(app.add_option("--image-mean", mean, "Taken off: one number or three, e.g. 0.485,0.456,0.406"));
  add(app.add_option("--image-std", deviation, "Divided by: one number or three, e.g. 0.229,0.224,0.225"));
  add(app.add_flag("--image-bgr", i.bgr, "The model takes blue first"));
}

Status CalibrationFlags::fill(compiler::QuantizeOptions& o) const {
  if (!mean.empty()) {
    LATHE_TRY(o.calibration.images.mean, numbers(mean, "--image-mean"));
  }
  if (!deviation.empty()) {
    LATHE_TRY(o.calibration.images.deviation, numbers(deviation, "--image-std"));
    if (std::ranges::count(o.calibration.images.deviation, 0.0) > 0)
      return fail(Code::kUsage, "--image-std " + deviation + ": a deviation of 0 divides by zero");
  }
  if (paths.empty()) return {};
  Sha256Stream hash;
  for (const std::string& path : paths) {
    LATHE_TRY(const auto files, files_of(path));
    for (const std::string& file : files) {
      LATHE_TRY(const File opened, File::open(file));
      Sha256 one{};
      if (opened.size() > 0) {
        LATHE_TRY(const Mapping mapping, opened.map(0, opened.size()));
        one = sha256(mapping.bytes());
      }
      hash.update(one);
      o.calibration.names.push_back(file);
    }
  }
  o.calibration.identity = to_hex(hash.finish());
  o.calibration.load =
      [files = o.calibration.names](size_t i) -> compiler::Result<std::vector<compiler::CalibrationArray>> {
    auto arrays = read(files[i]);
    if (!arrays) return as_failure(arrays.error());
    return *std::move(arrays);
  };
  return {};
}

void print_quantization(const compiler::QuantizeReport& r, const Output& out) {
  constexpr size_t kShown = 10;
  std::map<std::string, int> kinds;  // of those that are quantized
  for (const auto& l : r.layers)
    if (!l.precision.starts_with("fp")) ++kinds[l.precision];
  const auto most = std::ranges::max_element(kinds, {}, [](const auto& kind) { return kind.second; });
  const std::string precision = most == kinds.end() ? "int8" : most->first;
  const auto integers = std::ranges::count(r.layers, precision, &compiler::QuantizeReport::Layer::precision);
  double work = 0, all = 0;
  for (const auto& l : r.layers) {
    all += l.flops;
    work += l.precision == precision ? l.flops : 0;
  }
  out.line("quantized: {} of {} layers in {} ({:.0f} % of their work), by {}, {} samples", integers, r.layers.size(),
           precision, all > 0 ? 100 * work / all : 100.0, r.calibrator, r.calibration_samples);
  std::vector<const compiler::QuantizeReport::Layer*> order;
  for (const auto& l : r.layers) order.push_back(&l);
  if (out.verbose == 0) {
    std::ranges::stable_sort(order, {}, [](const auto* l) { return l->snr_db; });
    std::ranges::stable_partition(order, [&](const auto* l) { return l->precision != precision; });
    if (order.size() > kShown) order.resize(kShown);
  }
  Table layers({"layer", "operator", "precision", ">SNR dB", ">cosine", "why"});
  for (const auto* l : order)
    layers.add(
        {l->name, l->op, l->precision, fmt::format("{:.1f}", l->snr_db), fmt::format("{:.5f}", l->cosine), l->why});
  out.text(layers.text());
  if (order.size() < r.layers.size()) out.line("… the worst {} of {}; -v shows all", order.size(), r.layers.size());
  Table outputs({"output", ">SNR dB", ">cosine", ">max |diff|"});
  for (const auto& o : r.outputs)
    outputs.add({o.name, fmt::format("{:.1f}", o.snr_db), fmt::format("{:.6f}", o.cosine),
                 fmt::format("{:.3g}", o.max_abs_diff)});
  out.text(outputs.text());
  for (const std::string& w : r.warnings) out.note(w);
}

}  // namespace lathe::cli
