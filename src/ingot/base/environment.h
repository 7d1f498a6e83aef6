// The environment variables that Ingot reads, all in one place.
#pragma once

#include <optional>
#include <string>

namespace ingot {

// The value of a variable; none where it is unset or empty.
std::optional<std::string> GetEnvironment(const std::string& name);

// Where data and other things that can be fetched again are kept for this user: $INGOT_CACHE, else
// $XDG_CACHE_HOME/ingot, else $HOME/.cache/ingot. Nothing is created. Throws Error(kNotFound) where
// none of them is set.
std::string CacheFolder();

// $INGOT_DATA: a folder with data sets that the user put there.
std::optional<std::string> DataFolder();

// Whether the locale says that text is UTF-8 ($LC_ALL, else $LC_CTYPE, else $LANG).
bool LocaleIsUtf8();

}  // namespace ingot
