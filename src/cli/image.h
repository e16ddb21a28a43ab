// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace lathe::cli {

/// A decoded picture: rows of `channels` bytes a pixel (1: grey; 3: red, green, blue).
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<std::byte> pixels;
};

/// By its name: .jpg, .jpeg, .png, in either case.
bool is_image_file(const std::string& path);
/// kDamaged: not a picture of that kind, cut, or of more than 2^27 pixels.
[[nodiscard]] Result<Image> read_image(const std::string& path);

}  // namespace lathe::cli
