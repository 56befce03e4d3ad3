# SPDX-License-Identifier: MIT
# A small web server in Ruby: says who answers, on port 9000.
require "socket"

server = TCPServer.new("0.0.0.0", 9000)
trap("TERM") { exit }
loop do
  Thread.new(server.accept) do |client|
    nil until (client.gets || "").strip.empty?
    body = "ruby on #{Socket.gethostname}\n"
    client.write "HTTP/1.0 200 OK\r\nX-Worker: ruby\r\nContent-Type: text/plain\r\n" \
                 "Content-Length: #{body.bytesize}\r\n\r\n#{body}"
    client.close
  rescue SystemCallError
    nil # the client left
  end
end
