--- Functions and values as strings, from one Lua state to another of the same process.
--
-- A function travels with its upvalues: plain data, other Lua functions, modules and their members (by
-- name), data sets (by address, shared). Anything else is an error that names the upvalue. Functions
-- that share an upvalue share it in the receiving state too. Bytecode comes from this process only.
-- @module epact.ship

local ffi = require "ffi"
local buffer = require "string.buffer"
local core = require "epact.core"
local data = require "epact.data"

local ship = {}

local integers = { [tostring(ffi.typeof "int64_t")] = true, [tostring(ffi.typeof "uint64_t")] = true }

--- Name of the loaded module that is, or has as a member, `value`.
local function find_module(value)
  for name, module in pairs(package.loaded) do
    if name ~= "_G" and module == value then return name end
  end
  for name, module in pairs(package.loaded) do
    if type(module) == "table" then
      for key, member in pairs(module) do
        if member == value and type(key) == "string" then return name, key end
      end
    end
  end
end

local function describe_function(f)
  local info = debug.getinfo(f, "S")
  return ("function at %s:%d"):format(info.short_src, info.linedefined)
end

local pack -- pack(value, context, path): a tree of scalars and tagged lists

local function pack_function(f, context, path)
  local ok, code = pcall(string.dump, f)
  if not ok then
    core.fail("%s is a C function of no loaded module: it cannot be shipped to a worker", path)
  end
  local upvalues = {}
  for i = 1, debug.getinfo(f, "u").nups do
    local name, value = debug.getupvalue(f, i)
    local id = tostring(debug.upvalueid(f, i))
    local number = context.upvalue[id]
    if number then
      upvalues[i] = { number }
    else
      context.upvalues = context.upvalues + 1
      context.upvalue[id] = context.upvalues
      local inner = ("upvalue '%s' of %s"):format(name, describe_function(f))
      upvalues[i] = { context.upvalues, pack(value, context, inner) }
    end
  end
  return { "function", context.seen[f], code, upvalues }
end

local function pack_table(t, context, path)
  local keys, values, n = {}, {}, 0
  for key, value in pairs(t) do
    n = n + 1
    keys[n] = pack(key, context, path .. " (a key)")
    local inner = type(key) == "string" and path .. "." .. key or ("%s[%s]"):format(path, tostring(key))
    values[n] = pack(value, context, inner)
  end
  return { "table", context.seen[t], keys, values, n }
end

local function pack_reference(value, context, path)
  local kind = type(value)
  local module, member = find_module(value)
  if module then return { "module", module, member } end
  if kind == "table" and getmetatable(value) then
    core.fail("%s is an object with a metatable (%s): make it inside the worker function, or pass plain data",
      path, tostring(value):sub(1, 60))
  end
  if context.seen[value] then return { "seen", context.seen[value] } end
  context.count = context.count + 1
  context.seen[value] = context.count
  if kind == "function" then return pack_function(value, context, path) end
  return pack_table(value, context, path)
end

function pack(value, context, path)
  local kind = type(value)
  if kind == "nil" then return { "nil" } end
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  if kind == "table" or kind == "function" then return pack_reference(value, context, path) end
  if kind == "cdata" then
    if integers[tostring(ffi.typeof(value))] then return value end
    if data.kind(value) then return { "data", data.export(value) } end
  end
  return core.fail("%s is a %s: it cannot be shipped to a worker; make it inside the worker function",
    path, kind == "cdata" and "cdata (" .. tostring(ffi.typeof(value)) .. ")" or kind)
end

local unpack_value

local function unpack_function(tree, context)
  local f = assert(loadstring(tree[3]))
  context.seen[tree[2]] = f
  for i, upvalue in ipairs(tree[4]) do
    local owner = context.upvalue[upvalue[1]]
    if owner then
      debug.upvaluejoin(f, i, owner[1], owner[2])
    else
      context.upvalue[upvalue[1]] = { f, i }
      debug.setupvalue(f, i, unpack_value(upvalue[2], context))
    end
  end
  return f
end

local function unpack_table(tree, context)
  local t = {}
  context.seen[tree[2]] = t
  for i = 1, tree[5] do t[unpack_value(tree[3][i], context)] = unpack_value(tree[4][i], context) end
  return t
end

local unpackers = {
  ["nil"] = function() return nil end,
  seen = function(tree, context) return context.seen[tree[2]] end,
  module = function(tree)
    local module = require(tree[2])
    if tree[3] then return module[tree[3]] end
    return module
  end,
  data = function(tree) return data.import(tree[2]) end,
  ["function"] = unpack_function,
  table = unpack_table,
}

function unpack_value(tree, context)
  if type(tree) ~= "table" then return tree end
  return unpackers[tree[1]](tree, context)
end

--- A value (a function, too) as a string for another state of this process. Data sets in it must stay
-- alive until the string has been decoded.
-- @tparam string what names the value in an error
function ship.encode(value, what)
  return buffer.encode(pack(value, { seen = {}, count = 0, upvalue = {}, upvalues = 0 }, what))
end

--- The value of a string made by `encode` in this process.
function ship.decode(encoded)
  return unpack_value(buffer.decode(encoded), { seen = {}, upvalue = {} })
end

return ship
