// Boost.Asio and Beast as the server uses them; their code is compiled once, in asio.cc.
#pragma once

#include <utility>  // Boost 1.74 forgets it

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

namespace ingot::serve {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using ErrorOf = boost::system::error_code;

}  // namespace ingot::serve
