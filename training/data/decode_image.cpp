// SPDX-License-Identifier: Apache-2.0
// PNG by libpng's simplified interface, JPEG by libjpeg-turbo's: both report damage by return values.
#include <ATen/ATen.h>
#include <png.h>
#include <turbojpeg.h>

#include <memory>

#include "training/data/dataset.h"

namespace pollard::training {
namespace {

constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;

at::Tensor pixels(std::int64_t width, std::int64_t height, std::int64_t channels, const std::string& name) {
  if (width < 1 || height < 1 || width > kMostPixels / height)
    bad_sample(name, "an image of " + std::to_string(width) + " x " + std::to_string(height) + " pixels");
  return at::empty({height, width, channels}, at::kByte);
}

at::Tensor decode_png(std::span<const std::byte> bytes, const std::string& name) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&image, png_image_free);
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()))
    bad_sample(name, std::string("the PNG does not read: ") + image.message);
  const bool color = image.format & PNG_FORMAT_FLAG_COLOR;
  image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  at::Tensor out = pixels(image.width, image.height, color ? 3 : 1, name);
  // Transparency is laid over black.
  const png_color black{0, 0, 0};
  if (!png_image_finish_read(&image, &black, out.mutable_data_ptr(), 0, nullptr))
    bad_sample(name, std::string("the PNG does not decode: ") + image.message);
  return out;
}

at::Tensor decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, sampling = 0, space = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto fail = [&] {
    bad_sample(name, std::string("the JPEG does not decode: ") + tjGetErrorStr2(decoder.get()));
  };
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &sampling, &space)) fail();
  const bool color = sampling != TJSAMP_GRAY;
  at::Tensor out = pixels(width, height, color ? 3 : 1, name);
  if (tjDecompress2(decoder.get(), data, bytes.size(), out.mutable_data_ptr<std::uint8_t>(), width, 0, height,
                    color ? TJPF_RGB : TJPF_GRAY, TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING))
    fail();
  return out;
}

}  // namespace

at::Tensor decode_image(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < 4) bad_sample(name, "is empty");
  const bool jpeg = bytes[0] == std::byte{0xff} && bytes[1] == std::byte{0xd8};
  const at::Tensor rows = jpeg ? decode_jpeg(bytes, name) : decode_png(bytes, name);
  return rows.permute({2, 0, 1}).contiguous();
}

}  // namespace pollard::training
