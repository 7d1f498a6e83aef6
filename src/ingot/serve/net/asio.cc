// The code of Boost.Asio and Beast (BOOST_ASIO_SEPARATE_COMPILATION), compiled once.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
