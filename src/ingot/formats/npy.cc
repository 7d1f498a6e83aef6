// The npy and npz readers and writers.
#include "ingot/formats/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/formats/endian.h"
#include "ingot/formats/unicode.h"

namespace ingot::formats {
namespace {

constexpr std::array<std::byte, 6> kMagic = {std::byte{0x93}, std::byte{'N'}, std::byte{'U'},
                                             std::byte{'M'},  std::byte{'P'}, std::byte{'Y'}};
constexpr std::string_view kSuffix = ".npy";

struct TypeCode {
  std::string_view code;  // NumPy's, without the byte order
  DType dtype;
  size_t swapped_bytes;  // of a unit whose byte order counts; 1: none
};
constexpr std::array<TypeCode, 14> kTypeCodes = {{
    {"b1", DType::kBool, 1},
    {"i1", DType::kI8, 1},
    {"i2", DType::kI16, 2},
    {"i4", DType::kI32, 4},
    {"i8", DType::kI64, 8},
    {"u1", DType::kU8, 1},
    {"u2", DType::kU16, 2},
    {"u4", DType::kU32, 4},
    {"u8", DType::kU64, 8},
    {"f2", DType::kF16, 2},
    {"f4", DType::kF32, 4},
    {"f8", DType::kF64, 8},
    {"c8", DType::kComplex64, 4},
    {"c16", DType::kComplex128, 8},
}};

// Characters of one element of a text array.
constexpr uint64_t kLongestText = uint64_t{1} << 24;

struct NpyHeader {
  TypeCode type = {};
  bool big_endian = false;
  bool fortran = false;
  uint64_t characters = 0;  // of each element of a text array, in UTF-32
  std::vector<int64_t> dims;
};

// Reads the header's text: a Python dictionary with the keys descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyHeader Parse() {
    NpyHeader header;
    unsigned seen = 0;
    Expect('{');
    while (!Accept('}')) {
      const std::string_view key = QuotedText();
      Expect(':');
      unsigned bit = 0;
      if (key == "descr") {
        bit = 1;
        ReadType(header);
      } else if (key == "fortran_order") {
        bit = 2;
        header.fortran = Boolean();
      } else if (key == "shape") {
        bit = 4;
        header.dims = Extents();
      }
      if (bit == 0 || (seen & bit) != 0) Bad("the key '" + std::string(key) + "'");
      seen |= bit;
      if (!Accept(',')) {
        Expect('}');
        break;
      }
    }
    SkipSpace();
    if (seen != 7) Bad("too few keys, expected descr, fortran_order and shape");
    if (at_ != text_.size()) Bad("text behind the dictionary");
    return header;
  }

 private:
  [[noreturn]] void Bad(const std::string& what) const {
    Corrupt(name_, "damaged npy header: " + what + " near character " + std::to_string(at_) +
                       " of '" + std::string(text_.substr(0, 120)) + "'");
  }

  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool Accept(char c) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void Expect(char c) {
    if (!Accept(c)) Bad("no '" + std::string(1, c) + "'");
  }

  std::string_view QuotedText() {
    SkipSpace();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') Bad("no quoted text");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) Bad("an unclosed quote");
    const std::string_view quoted = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return quoted;
  }

  bool Boolean() {
    SkipSpace();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    Bad("neither True nor False");
  }

  std::vector<int64_t> Extents() {
    std::vector<int64_t> dims;
    Expect('(');
    while (!Accept(')')) {
      SkipSpace();
      int64_t dim = 0;
      const auto result = std::from_chars(text_.data() + at_, text_.data() + text_.size(), dim);
      if (result.ec != std::errc() || dim < 0) Bad("no extent from 0");
      at_ = static_cast<size_t>(result.ptr - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // written by Python 2
      dims.push_back(dim);
      if (!Accept(',')) {
        Expect(')');
        break;
      }
    }
    return dims;
  }

  void ReadType(NpyHeader& header) {
    SkipSpace();
    if (at_ < text_.size() && text_[at_] == '[') {
      throw Error(ErrorCode::kUnsupported, name_ + ": an npy array of records, expected numbers");
    }
    const std::string_view descr = QuotedText();
    if (!descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos) {
      for (const TypeCode& type : kTypeCodes) {
        if (type.code != descr.substr(1)) continue;
        header.type = type;
        header.big_endian = descr[0] == '>';
        return;
      }
    }
    if (descr.size() > 2 && (descr[0] == '<' || descr[0] == '>') && descr[1] == 'U') {
      const auto end = descr.data() + descr.size();
      const auto result = std::from_chars(descr.data() + 2, end, header.characters);
      if (result.ec != std::errc() || result.ptr != end || header.characters > kLongestText) {
        Bad("the type '" + std::string(descr) + "'");
      }
      header.type = {descr, DType::kString, 4};
      header.big_endian = descr[0] == '>';
      return;
    }
    throw Error(ErrorCode::kUnsupported, name_ + ": npy type '" + std::string(descr) +
                                             "' is not supported, expected numbers, bool or text");
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
};

// The text of the header and where the elements begin.
std::string_view HeaderText(std::span<const std::byte> bytes, const std::string& name,
                            size_t* begin) {
  if (!IsNpy(bytes)) {
    Corrupt(name, "not an npy file: it begins with '" + HexBytes(bytes, kMagic.size()) +
                      "', expected '93 4e 55 4d 50 59'");
  }
  const int version = bytes.size() > 6 ? std::to_integer<int>(bytes[6]) : 0;
  const size_t start = version == 1 ? 10 : 12;
  if (bytes.size() < start) Corrupt(name, "truncated npy file: it ends inside the header");
  if (version < 1 || version > 3) {
    throw Error(ErrorCode::kUnsupported,
                name + ": npy version " + std::to_string(version) + ", expected 1, 2 or 3");
  }
  const size_t length = version == 1 ? LoadLittle<uint16_t>(bytes.data() + 8)
                                     : LoadLittle<uint32_t>(bytes.data() + 8);
  if (length > bytes.size() - start) {
    Corrupt(name, "truncated npy file: a header of " + std::to_string(length) +
                      " bytes is stated, " + std::to_string(bytes.size() - start) + " are there");
  }
  *begin = start + length;
  return AsText(bytes.subspan(start, length));
}

// A row-major copy of elements whose first axis varies fastest.
Tensor FromFortran(const std::byte* source, DType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  const size_t item = ItemSize(dtype);
  const int rank = shape.rank();
  std::vector<int64_t> index(static_cast<size_t>(rank), 0);
  std::vector<int64_t> strides(static_cast<size_t>(rank), 1);
  for (int axis = 1; axis < rank; ++axis) {
    strides[static_cast<size_t>(axis)] = strides[static_cast<size_t>(axis - 1)] * shape[axis - 1];
  }
  int64_t place = 0;
  for (int64_t i = 0; i < tensor.size(); ++i) {
    std::memcpy(tensor.raw() + static_cast<size_t>(i) * item,
                source + static_cast<size_t>(place) * item, item);
    for (size_t axis = static_cast<size_t>(rank); axis-- > 0;) {
      place += strides[axis];
      if (++index[axis] < shape.dims()[axis]) break;
      place -= strides[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return tensor;
}

// Each element is so many characters of UTF-32, filled up with zeros.
Tensor ReadTexts(const Blob& blob, size_t begin, const NpyHeader& header, const std::string& name) {
  uint64_t wanted = 0;
  const Shape shape(header.dims);
  if (header.fortran && shape.rank() > 1) {
    throw Error(ErrorCode::kUnsupported, "'" + name + "': texts in Fortran order are not read",
                "save numpy.ascontiguousarray of them");
  }
  if (!StoredBytes(DType::kU32, header.dims, &wanted) ||
      __builtin_mul_overflow(wanted, header.characters, &wanted) || wanted != blob.size - begin) {
    Corrupt(name, "a text array of " + shape.ToString() + " with " +
                      std::to_string(header.characters) + " characters each does not fit its " +
                      std::to_string(blob.size - begin) + " bytes");
  }
  if (header.characters == 0 && shape.size() > 65536) {
    Corrupt(name, "oversized header: " + shape.ToString() + " texts without a character");
  }
  std::vector<std::string> texts(static_cast<size_t>(shape.size()));
  const std::byte* at = blob.data.get() + begin;
  for (std::string& text : texts) {
    size_t zeros = 0;  // those at the end fill up
    for (uint64_t i = 0; i < header.characters; ++i, at += 4) {
      auto code = LoadLittle<uint32_t>(at);
      if (header.big_endian) code = __builtin_bswap32(code);
      if (code > 0x10FFFF) Corrupt(name, "a text holds " + std::to_string(code) + ", no character");
      if (code == 0) {
        ++zeros;
        continue;
      }
      text.append(std::exchange(zeros, 0), '\0');
      AppendUtf8(text, code);
    }
  }
  return Tensor::OfStrings(shape, std::move(texts));
}

// The elements of a text array, and how many characters each has room for.
std::vector<std::byte> EncodeTexts(const Tensor& tensor, uint64_t* characters) {
  std::vector<std::vector<uint32_t>> codes;
  *characters = 1;  // NumPy has no text of none
  for (const std::string& text : tensor.ToStrings()) {
    std::vector<uint32_t> one;
    for (size_t at = 0; at < text.size();) {
      const Character character = ReadUtf8(text, at);
      one.push_back(character.code);
      at += character.bytes;
    }
    *characters = std::max<uint64_t>(*characters, one.size());
    codes.push_back(std::move(one));
  }
  std::vector<std::byte> bytes;
  for (std::vector<uint32_t>& one : codes) {
    one.resize(*characters, 0);
    for (const uint32_t code : one) AppendLittle(bytes, code);
  }
  return bytes;
}

}  // namespace

bool IsNpy(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::equal(kMagic.begin(), kMagic.end(), bytes.begin());
}

Tensor ParseNpy(const Blob& blob, const std::string& name) {
  size_t begin = 0;
  const std::string_view text = HeaderText(blob.bytes(), name, &begin);
  const NpyHeader header = HeaderParser(text, name).Parse();
  if (header.type.dtype == DType::kString) return ReadTexts(blob, begin, header, name);
  const Shape shape(header.dims);
  const DType dtype = header.type.dtype;
  const std::string described = std::string(Name(dtype)) + shape.ToString();
  uint64_t wanted = 0;
  if (!StoredBytes(dtype, header.dims, &wanted)) {
    Corrupt(name, "oversized header: " + described + " is more than any file can hold");
  }
  const uint64_t there = blob.size - begin;
  if (there != wanted) {
    Corrupt(name, (there < wanted ? "truncated npy file: " : "trailing bytes: ") + described +
                      " is " + std::to_string(wanted) + " bytes, " + std::to_string(there) +
                      " are there");
  }
  Tensor tensor = TensorAt(blob, begin, dtype, shape, name);
  if (header.fortran && shape.rank() > 1) {
    tensor = FromFortran(blob.data.get() + begin, dtype, shape);
  }
  if (header.big_endian && header.type.swapped_bytes > 1) {
    tensor = tensor.Clone();
    ReverseItems({tensor.raw(), tensor.bytes()}, header.type.swapped_bytes);
  }
  return tensor;
}

void RequireRealNumbers(const Tensor& tensor, const std::string& name) {
  if (IsArithmetic(tensor.dtype())) return;
  throw Error(ErrorCode::kUnsupported,
              name + " is " + tensor.Describe() + ", expected real numbers");
}

Tensor ReadNpy(const std::string& path) {
  return ParseNpy(MapBlob(path), path);
}

std::vector<std::byte> EncodeNpy(const Tensor& tensor) {
  const auto type = std::find_if(kTypeCodes.begin(), kTypeCodes.end(),
                                 [&](const TypeCode& t) { return t.dtype == tensor.dtype(); });
  uint64_t characters = 0;
  std::vector<std::byte> texts;
  if (tensor.dtype() == DType::kString) {
    texts = EncodeTexts(tensor, &characters);
  } else if (type == kTypeCodes.end()) {
    throw Error(ErrorCode::kInvalidInput,
                "npy cannot hold " + tensor.Describe() + ": NumPy has no such type",
                "convert it to f32 first");
  }
  std::string text = "{'descr': '";
  if (characters > 0) {
    text += "<U" + std::to_string(characters);
  } else {
    text += ItemSize(type->dtype) == 1 ? '|' : '<';
    text += std::string(type->code);
  }
  text += "', 'fortran_order': False, 'shape': (";
  const int rank = tensor.shape().rank();
  for (int axis = 0; axis < rank; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(tensor.shape()[axis]);
  }
  text += rank == 1 ? ",), }" : "), }";
  // The elements begin at a multiple of 64 behind spaces and a line end, as NumPy pads them.
  const auto padded = [&](size_t start) {
    return (start + text.size() + 1 + 63) / 64 * 64 - start;
  };
  const bool is_long = padded(10) > std::numeric_limits<uint16_t>::max();
  const size_t length = padded(is_long ? 12 : 10);
  text.resize(length - 1, ' ');
  text += '\n';

  std::vector<std::byte> out(kMagic.begin(), kMagic.end());
  out.push_back(is_long ? std::byte{2} : std::byte{1});
  out.push_back(std::byte{0});
  if (is_long) {
    AppendLittle(out, static_cast<uint32_t>(length));
  } else {
    AppendLittle(out, static_cast<uint16_t>(length));
  }
  const ByteSink append = AppendTo(out);
  append(AsBytes(text));
  if (characters > 0) {
    append(texts);
  } else {
    append({tensor.raw(), tensor.bytes()});
  }
  return out;
}

NpzFile::NpzFile(ZipFile zip) : zip_(std::move(zip)) {
  for (const ZipEntry& entry : zip_.entries()) {
    const bool suffixed = entry.name.size() > kSuffix.size() && entry.name.ends_with(kSuffix);
    names_.push_back(entry.name.substr(0, entry.name.size() - (suffixed ? kSuffix.size() : 0)));
  }
}

NpzFile NpzFile::Open(const std::string& path) {
  return NpzFile(ZipFile::Open(path));
}

NpzFile NpzFile::Parse(Blob blob, std::string name) {
  return NpzFile(ZipFile::Parse(std::move(blob), std::move(name)));
}

Tensor NpzFile::Get(std::string_view name) const {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] != name) continue;
    const ZipEntry& entry = zip_.entries()[i];
    return ParseNpy(zip_.Read(entry), zip_.name() + ": entry '" + entry.name + "'");
  }
  throw Error(ErrorCode::kNotFound, zip_.name() + ": no array '" + std::string(name) + "'",
              DidYouMean(name, names_));
}

void WriteNpz(std::span<const NamedTensor> arrays, const ByteSink& sink) {
  std::vector<NamedBytes> files;
  for (const NamedTensor& array : arrays) {
    files.emplace_back(array.name + std::string(kSuffix), EncodeNpy(array.tensor));
  }
  WriteZip(files, sink);
}

}  // namespace ingot::formats
