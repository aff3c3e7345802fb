-- Writes every packet that comes to an interface to a file: luajit capture.lua INTERFACE READY STOP PACKETS.
-- READY is a pipe that gets a line when it listens; it ends when the file STOP is there and nothing has come for a
-- moment.
local ffi = require "ffi"

ffi.cdef [[
  int socket(int domain, int type, int protocol);
  int bind(int descriptor, const void *address, unsigned bytes);
  int setsockopt(int descriptor, int level, int name, const void *value, unsigned bytes);
  long recv(int descriptor, void *buffer, size_t bytes, int flags);
  unsigned if_nametoindex(const char *name);
  typedef struct { unsigned short family, protocol; int index; unsigned char rest[12]; } epact_link_address;
]]
local AF_PACKET, SOCK_RAW, ALL_PROTOCOLS, SOL_SOCKET, SO_RCVTIMEO, SO_RCVBUF = 17, 3, 0x0300, 1, 20, 8

local interface, ready, stop, packets = unpack(arg)
local index = ffi.C.if_nametoindex(interface)
assert(index > 0, "there is no such interface")
local s = ffi.C.socket(AF_PACKET, SOCK_RAW, ALL_PROTOCOLS)
assert(s >= 0, "cannot open a packet socket")
local address = ffi.new("epact_link_address", { AF_PACKET, ALL_PROTOCOLS, index })
assert(ffi.C.bind(s, address, ffi.sizeof(address)) == 0, "cannot bind the packet socket")
ffi.C.setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, ffi.new("long[2]", { 0, 100000 }), 16)
ffi.C.setsockopt(s, SOL_SOCKET, SO_RCVBUF, ffi.new("int[1]", 8 * 2 ^ 20), 4)

local file = assert(io.open(packets, "wb"))
local pipe = assert(io.open(ready, "w"))
pipe:write "ready\n"
pipe:close()
local buffer = ffi.new "char[70000]"
while true do
  local bytes = ffi.C.recv(s, buffer, 70000, 0)
  if bytes > 0 then
    file:write(ffi.string(buffer, bytes))
  else
    local stopped = io.open(stop)
    if stopped then break end
  end
end
file:close()
