// Finds and loads the plugins of transports.
#include "ingot/dist/transport.h"

#include <filesystem>
#include <vector>

#include <dlfcn.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"

namespace ingot::dist {
namespace {

std::vector<std::string> Folders() {
  std::vector<std::string> folders;
  if (const auto given = GetEnvironment("INGOT_TRANSPORTS")) folders.push_back(*given);
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    folders.push_back(program.parent_path().string());
    folders.push_back((program.parent_path().parent_path() / "lib" / "ingot").string());
  }
  return folders;
}

std::string FileOf(const std::string& name) {
  return "libingot_transport_" + name + ".so";
}

}  // namespace

std::string FindTransport(const std::string& name) {
  for (const std::string& folder : Folders()) {
    std::string path = folder + "/" + FileOf(name);
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

std::shared_ptr<TransportFactory> LoadTransport(const std::string& name) {
  const std::string path = FindTransport(name);
  if (path.empty()) {
    throw Error(ErrorCode::kUnsupported,
                "the transport '" + name + "' is not there: " + FileOf(name) + " was not found",
                "install the package (for gloo: libgloo-dev, for mpi: libopenmpi-dev) and build "
                "again, or name its folder in INGOT_TRANSPORTS");
  }
  // Never unloaded: its threads may outlive what was made of it.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(ErrorCode::kUnsupported, "cannot load the transport " + path + ": " + dlerror(),
                "install what it needs (for gloo: the package libgloo0, for mpi: libopenmpi3)");
  }
  const auto make = reinterpret_cast<MakeTransportFactory>(dlsym(library, kTransportSymbol));
  TransportFactory* factory = make == nullptr ? nullptr : make(kTransportVersion);
  if (factory == nullptr) {
    throw Error(ErrorCode::kUnsupported, path + " was built for another version of Ingot",
                "build and install both together");
  }
  return std::shared_ptr<TransportFactory>(factory);
}

}  // namespace ingot::dist
