// Finds the pictures of each class, reads them on demand, and leaves out damaged ones where asked.
#include "ingot/data/image_folder_source.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/data/damaged_records.h"
#include "ingot/data/source_kind.h"

namespace ingot::data {

const OptionTable<ImageFolderOptions>& ImageFolderTable() {
  static const auto table = [] {
    OptionTable<ImageFolderOptions> t(
        "images", "pictures (JPEG, PNG) in a folder for each class: FOLDER/CLASS/*.jpg");
    t.Add("train", &ImageFolderOptions::train, "the folder of the training data")
        .Add("test", &ImageFolderOptions::test, "the folder of the test data (default: none)")
        .Required("train");
    AddPictureOptions(t);
    t.AddChoice("on_error", &ImageFolderOptions::on_error,
                "a picture that cannot be read: fail ends the run; skip: every picture is decoded "
                "once at the start, and those that are damaged are left out, named and counted",
                {"fail", "skip"})
        .Add("cache", &ImageFolderOptions::cache,
             "memory for decoded pictures of each half of the data; 0: each is decoded every time");
    return t;
  }();
  return table;
}

namespace {

namespace fs = std::filesystem;

// Files that one digest reads.
constexpr size_t kDigestFiles = 64;

bool IsHidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool IsPicture(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

// The sub-folders' names, sorted.
std::vector<std::string> SubFolders(const std::string& folder) {
  std::vector<std::string> names;
  for (const std::string& name : RealFileSystem().List(folder)) {
    std::error_code ignored;
    if (!IsHidden(name) && fs::is_directory(fs::path(folder) / name, ignored)) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The pictures in a folder and those below it, sorted, relative to `root`.
std::vector<std::string> PicturesIn(const std::string& folder, const std::string& root) {
  std::vector<std::string> paths;
  std::error_code error;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (fs::recursive_directory_iterator at(folder, options, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (IsHidden(at->path()) || !IsPicture(at->path()) || !at->is_regular_file(ignored)) continue;
    paths.push_back(at->path().lexically_relative(root).string());
  }
  if (error) throw FileError("list", folder, error.value(), /*reading=*/true);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

ImageFolderSource::ImageFolderSource(const std::string& folder, const ImageFolderOptions& options,
                                     const ImageFolderSource* like)
    : folder_(folder), reader_(options) {
  FindFiles(like);
  if (!reader_.has_size() && like != nullptr) reader_ = like->reader_;
  if (!reader_.has_size()) {
    const std::string first = PathOf(files_[0]);
    const Tensor picture = formats::ReadImage(first);
    reader_.SetSize({picture.shape()[0], picture.shape()[1]});
  }
  fields_ = {{.name = "x", .dtype = DType::kU8, .shape = reader_.shape()},
             {.name = "y",
              .dtype = DType::kI64,
              .shape = Shape{},
              .classes = static_cast<int64_t>(classes_.size())}};
  if (options.on_error == "skip") LeaveOutDamaged();
  cache_ = std::make_unique<RecordCache>(size(), fields_[0].bytes(), ParseBytes(options.cache));
}

void ImageFolderSource::FindFiles(const ImageFolderSource* like) {
  const std::vector<std::string> folders = SubFolders(folder_);
  classes_ = like != nullptr ? like->classes_ : folders;
  if (folders.empty() || classes_.size() < 2) {
    throw Error(
        ErrorCode::kInvalidInput,
        "folder '" + folder_ + "' holds " +
            (folders.empty() ? "no sub-folder" : "one sub-folder, '" + folders[0] + "'") +
            ", expected one for each of at least two classes",
        "put the pictures of each class into a folder of its own: " + folder_ + "/CLASS/*.jpg");
  }
  for (const std::string& name : folders) {
    const auto found = std::lower_bound(classes_.begin(), classes_.end(), name);
    if (found == classes_.end() || *found != name) {
      throw Error(ErrorCode::kInvalidInput,
                  "folder '" + folder_ + "/" + name + "': there is no class '" + name +
                      "' in the training data",
                  DidYouMean(name, classes_));
    }
    const std::vector<std::string> paths = PicturesIn(folder_ + "/" + name, folder_);
    if (paths.empty()) {
      throw Error(ErrorCode::kInvalidInput,
                  "class folder '" + folder_ + "/" + name + "' holds no .jpg, .jpeg or .png",
                  "put pictures there, or remove the folder");
    }
    for (const std::string& path : paths) files_.push_back({path, found - classes_.begin()});
  }
}

void ImageFolderSource::LeaveOutDamaged() {
  const auto errors = FindDamaged(files_.size(), fields_[0].bytes(), [this](size_t i, void* out) {
    const std::string path = PathOf(files_[i]);
    reader_.Read(formats::MapBlob(path), path, static_cast<uint8_t*>(out));
  });
  std::vector<File> whole;
  std::vector<int64_t> of_class(classes_.size());
  for (size_t i = 0; i < files_.size(); ++i) {
    if (errors[i]) {
      skipped_.push_back(errors[i]->message());
      of_class[static_cast<size_t>(files_[i].label)] -= 1;
    } else {
      whole.push_back(files_[i]);
    }
  }
  for (const File& file : whole) of_class[static_cast<size_t>(file.label)] = 1;
  for (size_t c = 0; c < classes_.size(); ++c) {
    if (of_class[c] >= 0) continue;
    throw Error(ErrorCode::kCorrupt,
                "class folder '" + folder_ + "/" + classes_[c] +
                    "': every picture in it is damaged; the first: " + skipped_[0]);
  }
  files_ = std::move(whole);
}

void ImageFolderSource::Read(int64_t record, int field, void* out) const {
  const File& file = files_[static_cast<size_t>(record)];
  if (field == 1) {
    *static_cast<int64_t*>(out) = file.label;
    return;
  }
  if (cache_->Get(record, out)) return;
  const std::string path = PathOf(file);
  try {
    reader_.Read(formats::MapBlob(path), path, static_cast<uint8_t*>(out));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt) throw;
    throw Error(error.code(), error.message(),
                "remove it, or leave damaged pictures out: data.source.images.on_error: skip");
  }
  cache_->Put(record, out);
}

std::string ImageFolderSource::Where(int64_t record) const {
  return PathOf(files_[static_cast<size_t>(record)]);
}

uint64_t ImageFolderSource::Digest() const {
  uint64_t digest = HashBytes(0, formats::AsBytes(fields_[0].Describe()));
  for (const File& file : files_) {
    digest = HashBytes(digest, formats::AsBytes(file.path));
    const uint64_t size = RealFileSystem().FileSize(PathOf(file));
    digest = HashBytes(digest, std::as_bytes(std::span(&size, 1)));
  }
  const size_t count = std::min(files_.size(), kDigestFiles);
  for (size_t i = 0; i < count; ++i) {
    const File& file = files_[count < 2 ? 0 : i * (files_.size() - 1) / (count - 1)];
    digest = HashBytes(digest, formats::MapBlob(PathOf(file)).bytes());
  }
  return digest;
}

namespace {

OpenedSource OpenImageFolders(const ImageFolderOptions& options, const OpenContext& context) {
  OpenedSource opened;
  auto train = std::make_shared<ImageFolderSource>(context.Resolve(options.train), options);
  opened.class_names = train->classes();
  opened.skipped = train->skipped();
  opened.train = train;
  if (!options.test.empty()) {
    auto test =
        std::make_shared<ImageFolderSource>(context.Resolve(options.test), options, train.get());
    opened.skipped.insert(opened.skipped.end(), test->skipped().begin(), test->skipped().end());
    opened.test = test;
  }
  return opened;
}

}  // namespace

SourceKind ImageFolderSourceKind() {
  return DefinePictureSource(ImageFolderTable(), OpenImageFolders);
}

}  // namespace ingot::data
