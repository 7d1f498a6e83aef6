// Finds the pictures of each class, reads them on demand, and leaves out damaged ones where asked.
#include "ingot/data/image_folder_source.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include <sys/stat.h>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
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
constexpr int64_t kDigestFiles = 64;

bool IsHidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool IsPicture(const fs::path& path) {
  const std::string ending = LowerCase(path.extension().string());
  return !ending.empty() && IsPictureEnding(std::string_view(ending).substr(1));
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
  return names;
}

// The folders that have been gone into, whatever their names: links may lead back to one.
class VisitedFolders {
 public:
  // Throws Error(kInvalidInput) for one that has been visited.
  void Add(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) return;  // whoever lists it says why
    const auto [at, is_new] = paths_.try_emplace({status.st_dev, status.st_ino}, path);
    if (is_new) return;
    throw Error(ErrorCode::kInvalidInput,
                "folder '" + path + "' is '" + at->second + "' again, by way of a symbolic link",
                "remove the link: each picture is to be counted once");
  }

 private:
  std::map<std::pair<dev_t, ino_t>, std::string> paths_;
};

// The pictures in a folder and those below it, sorted, relative to `root`.
std::vector<std::string> PicturesIn(const std::string& folder, const std::string& root) {
  std::vector<std::string> paths;
  std::error_code error;
  VisitedFolders visited;
  visited.Add(folder);
  const auto options = fs::directory_options::follow_directory_symlink;
  for (fs::recursive_directory_iterator at(folder, options, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) visited.Add(at->path().string());
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
    : DecodedSource("remove it, or leave damaged pictures out: data.source.images.on_error: skip"),
      folder_(folder),
      reader_(options) {
  FindFiles(like);
  if (!reader_.has_size() && like != nullptr) reader_ = like->reader_;
  if (!reader_.has_size()) {
    ReadFirst(files_.size(), options.on_error == "skip", [&](size_t i) {
      const std::string path = PathOf(files_[i]);
      reader_.SetSizeOf(formats::MapBlob(path), path);
    });
  }
  SetFields({.name = "x", .dtype = DType::kU8, .shape = reader_.shape()},
            static_cast<int64_t>(classes_.size()), ParseBytes(options.cache));
  if (options.on_error == "skip") SkipDamaged();
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
  const ClassNumbers numbers(classes_);
  for (const std::string& name : folders) {
    const std::optional<int64_t> number = numbers.Find(name);
    if (!number) {
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
    for (const std::string& path : paths) files_.push_back({path, *number});
  }
}

// A class of which nothing is left is an error of its own.
void ImageFolderSource::SkipDamaged() {
  const std::vector<File> all = files_;
  const std::vector<std::optional<Error>> errors = LeaveOutDamaged(files_);
  std::vector<bool> is_left(classes_.size());
  for (const File& file : files_) is_left[static_cast<size_t>(file.label)] = true;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto label = static_cast<size_t>(all[i].label);
    if (is_left[label]) continue;
    throw Error(ErrorCode::kCorrupt,
                "class folder '" + folder_ + "/" + classes_[label] +
                    "': every picture in it is damaged; the first: " + errors[i]->message());
  }
}

void ImageFolderSource::Decode(int64_t record, void* out) const {
  const std::string path = Where(record);
  reader_.Read(formats::MapBlob(path), path, static_cast<uint8_t*>(out));
}

std::string ImageFolderSource::Where(int64_t record) const {
  return PathOf(files_[static_cast<size_t>(record)]);
}

uint64_t ImageFolderSource::Digest() const {
  uint64_t digest = HashBytes(0, formats::AsBytes(fields()[0].Describe()));
  for (const File& file : files_) {
    digest = HashBytes(digest, formats::AsBytes(file.path));
    const uint64_t size = RealFileSystem().FileSize(PathOf(file));
    digest = HashBytes(digest, std::as_bytes(std::span(&size, 1)));
  }
  const int64_t count = std::min(size(), kDigestFiles);
  for (int64_t i = 0; i < count; ++i) {
    digest = HashBytes(digest, formats::MapBlob(Where(EvenlySpaced(i, count, size()))).bytes());
  }
  return digest;
}

SourceKind ImageFolderSourceKind() {
  return DefinePictureSource(ImageFolderTable(), OpenHalves<ImageFolderSource, ImageFolderOptions>);
}

}  // namespace ingot::data
