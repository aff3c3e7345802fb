--- Arrays and pointers of the FFI as arguments: what they point at, and whether they are long enough.
-- @module epact.array

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"

local array = {}

local shapes = {} -- by the number of a C type
local standard_name = { int = "int32_t", ["unsigned int"] = "uint32_t" }

--- What an array or pointer points at, by the number of its C type: `element` ("double" for `const double *` and
-- `double [3]`; nil for other types) and `bytes` (a pointer has no end, a variable-length array says itself).
function array.shape_of(values)
  local number = tonumber(ffi.typeof(values))
  local shape = shapes[number]
  if not shape then
    local spelling = tostring(ffi.typeof(values)):match("^ctype<(.*)>$"):gsub("const ", ""):gsub(" %(&%)", " ")
    local pointer, vector = spelling:match "^([%w_ ]-) ?%*$", spelling:match "^([%w_ ]-) ?%[[%d?]*%]$"
    local fixed = vector and not spelling:find("?", 1, true) and ffi.sizeof(values)
    shape = { element = pointer or vector, bytes = pointer and math.huge or fixed or nil }
    shapes[number] = shape
  end
  return shape
end

local function fail(message, first, second, what, ...)
  core.fail(what:format(...) .. message:format(first, second))
end

--- Refuses what is not an array of at least `n` elements of `bytes` bytes (or a pointer).
-- @param values
-- @tparam number n
-- @tparam table like the shape of one that fits
-- @tparam number bytes
-- @tparam string what how a message begins, the function and the argument: a format
-- @param ... its arguments
function array.check(values, n, like, bytes, what, ...)
  local shape = type(values) == "cdata" and array.shape_of(values)
  if not shape or shape.element ~= like.element then
    fail(" must be an array of %s, got %s", standard_name[like.element] or like.element,
      shape and tostring(ffi.typeof(values)) or options.show(values), what, ...)
  end
  local size = shape.bytes or ffi.sizeof(values)
  if size < n * bytes then fail(" has %d elements, expected %d", size / bytes, n, what, ...) end
end

return array
