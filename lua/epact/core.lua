--- The C library and how its failures become Lua errors at the user's line.
--
-- The only module that calls `ffi.load`, `ffi.cdef` and `ffi.gc`. Declarations are not repeated
-- here: the library hands over the text of its own headers.
-- @module epact.core

if not jit then
  error("epact needs LuaJIT (this is " .. _VERSION .. "): start the script with `luajit`")
end

if not pcall(require, "string.buffer") then
  error("epact needs a LuaJIT 2.1 of 2022 or later (with string.buffer), this is " .. jit.version)
end

local ffi = require "ffi"

local core = {}

local function load_library()
  local path, tried = package.searchpath("epact.native", package.cpath)
  if not path then
    error("epact: the C library was not found (run `make`, or set package.cpath):" .. tried, 3)
  end
  local C = ffi.load(path)
  local declared = pcall(function() return C.epact_cdef end)
  if not declared then ffi.cdef "const char *epact_cdef(void);" end
  if not pcall(ffi.sizeof, "epact_rng") then ffi.cdef(ffi.string(C.epact_cdef())) end
  return C, path
end

local C, library_path = load_library()
-- Parallelism is the workers'; and results would change with the number of BLAS threads.
C.epact_blas_single_thread()
core.C = C
core.library_path = library_path
core.version = ffi.string(C.epact_version())

-- Source prefix of this package ("@./lua/epact/"): frames inside it are not the user's.
local own_prefix = debug.getinfo(1, "S").source:match("^(.*[/\\])[^/\\]*$") or "=epact"

--- The level (for `error`) of the first caller outside the package; 0, no place at all, when there is none.
local function user_level()
  local level = 2
  while true do
    local info = debug.getinfo(level, "S")
    if not info then return 0 end
    if info.what ~= "C" and info.source:sub(1, #own_prefix) ~= own_prefix then return level - 1 end
    level = level + 1
  end
end

--- Raises `message` (a format, with arguments) at the user's line.
function core.fail(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(message, user_level())
end

--- Checks a return code of the library; a failure is raised at the user's line. A condition of the
-- world ends in its stable code, as in `... [E_PARSE]`, so that a `pcall` can tell it apart.
-- @tparam number code what a C function returned
-- @tparam[opt] string where the function as the user called it: begins the message
-- @treturn number the code, when it is not negative
function core.check(code, where)
  if code >= 0 then return code end
  local message = ffi.string(C.epact_error_message())
  if where then message = where .. ": " .. message end
  if code ~= C.EPACT_E_MISUSE then
    message = ("%s [%s]"):format(message, ffi.string(C.epact_error_name(code)))
  end
  error(message, user_level())
end

--- The stable code at the end of an error message of this package, or nil.
function core.error_code(message)
  return type(message) == "string" and message:match(".*%[(E_%u+)%]") or nil
end

--- Takes ownership of a pointer the library made: `release` runs when it is collected.
-- @param pointer cdata; NULL raises the library's last error
-- @tparam[opt] function release default: `epact_release`
-- @tparam[opt] string where the function as the user called it
function core.own(pointer, release, where)
  if pointer == nil then core.check(C.epact_error_code(), where) end
  return ffi.gc(pointer, release or C.epact_release)
end

--- One more owner of a shared object, from its address (a number), as a `ctype` pointer.
function core.adopt(ctype, address)
  local pointer = ffi.cast(ctype, ffi.cast("void *", address))
  C.epact_retain(pointer)
  return ffi.gc(pointer, C.epact_release)
end

--- The address of a pointer as a Lua number (exact below 2^53).
function core.address(pointer)
  return tonumber(ffi.cast("uintptr_t", ffi.cast("void *", pointer)))
end

--- Releases a pointer from `core.own` now instead of at collection.
function core.close(pointer, release)
  ffi.gc(pointer, nil);
  (release or C.epact_release)(pointer)
end

return core
