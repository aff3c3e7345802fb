rockspec_format = "3.0"
package = "epact"
version = "scm-1"

source = {
  url = "git+https://example.org/epact.git",
}

description = {
  summary = "Large-scale machine learning for LuaJIT: a parameter server with bounded staleness, and algorithms on it",
  detailed = [[
Workers share tables whose reads are never staler than a bound they choose; the same script runs on one thread, on
all cores and as several processes. Gradient methods, coordinate descent, matrix factorisation, topic models, in Lua over
C kernels. Needs LuaJIT 2.1, libzmq, OpenBLAS, msgpack-c and zlib.
]],
  license = "MIT",
  labels = { "machine-learning", "parallel", "luajit", "ffi" },
}

-- LuaJIT is asked for at load time: LuaRocks counts it as Lua 5.1.
dependencies = {
  "lua == 5.1",
}

build = {
  type = "make",
  build_variables = {},
  install_variables = {
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    BINDIR = "$(BINDIR)",
  },
}

-- Scripts start luajit themselves; a wrapper would start lua5.1.
deploy = {
  wrap_bin_scripts = false,
}

test = {
  type = "command",
  command = "make test",
}
