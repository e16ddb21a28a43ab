// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG through libjpeg-turbo and libpng. Both report errors by calling back; libjpeg's must not return, so that
// a jump leaves it: no object with a destructor lives between setjmp and the calls.
#include "cli/image.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h wants FILE
#include <filesystem>

#include <jpeglib.h>

#include "base/mapped_file.h"

namespace lathe::cli {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 27;

std::string extension(const std::string& path) {
  std::string e = std::filesystem::path(path).extension().string();
  std::ranges::transform(e, e.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return e;
}

struct JpegError {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  info->err->format_message(info, error->message);
  std::longjmp(error->back, 1);
}

// False: error->message says why. `image` is the caller's and is only written through its pointer.
bool decode_jpeg(const std::byte* data, size_t size, jpeg_decompress_struct* info, JpegError* error, Image* image) {
  info->err = jpeg_std_error(&error->base);
  error->base.error_exit = leave;
  error->base.emit_message = [](j_common_ptr, int) {};
  if (setjmp(error->back) != 0) return false;
  jpeg_create_decompress(info);
  jpeg_mem_src(info, reinterpret_cast<const unsigned char*>(data), size);
  jpeg_read_header(info, TRUE);
  info->out_color_space = info->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  info->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(info);
  image->height = info->output_height;
  image->width = info->output_width;
  image->channels = info->output_components;
  if (image->height <= 0 || image->width <= 0 || image->height > kMostPixels / image->width) {
    std::snprintf(error->message, sizeof error->message, "%s", "too large");
    return false;
  }
  const auto row = static_cast<size_t>(image->width * image->channels);
  image->pixels.resize(row * static_cast<size_t>(image->height));
  while (info->output_scanline < info->output_height) {
    auto* line = reinterpret_cast<JSAMPLE*>(image->pixels.data()) + row * info->output_scanline;
    jpeg_read_scanlines(info, &line, 1);
  }
  jpeg_finish_decompress(info);
  return true;
}

Result<Image> read_jpeg(const std::string& path, std::span<const std::byte> bytes) {
  Image image;
  jpeg_decompress_struct info{};
  JpegError error{};
  const bool ok = decode_jpeg(bytes.data(), bytes.size(), &info, &error, &image);
  jpeg_destroy_decompress(&info);
  if (!ok) return fail(Code::kDamaged, path + ": not a readable JPEG picture: " + error.message);
  return image;
}

Result<Image> read_png(const std::string& path, std::span<const std::byte> bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const auto failed = [&] {
    std::string why = png.message;
    png_image_free(&png);
    return fail(Code::kDamaged, path + ": not a readable PNG picture: " + why);
  };
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) return failed();
  const bool colour = png.format & PNG_FORMAT_FLAG_COLOR;
  png.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image{png.height, png.width, colour ? 3 : 1, {}};
  if (image.height <= 0 || image.width <= 0 || image.height > kMostPixels / image.width) {
    png_image_free(&png);
    return fail(Code::kDamaged, path + ": the picture is too large");
  }
  image.pixels.resize(static_cast<size_t>(image.height * image.width * image.channels));
  const png_color black{};
  if (!png_image_finish_read(&png, &black, image.pixels.data(), 0, nullptr)) return failed();
  return image;
}

}  // namespace

bool is_image_file(const std::string& path) {
  const std::string e = extension(path);
  return e == ".jpg" || e == ".jpeg" || e == ".png";
}

Result<Image> read_image(const std::string& path) {
  LATHE_TRY(const File file, File::open(path));
  if (file.size() == 0) return fail(Code::kDamaged, path + ": the file is empty");
  LATHE_TRY(const Mapping mapping, file.map(0, file.size()));
  return extension(path) == ".png" ? read_png(path, mapping.bytes()) : read_jpeg(path, mapping.bytes());
}

}  // namespace lathe::cli
