--- Functions and values as strings, from one Lua state to another of the same process.
--
-- A function travels with its upvalues: plain data, other Lua functions, modules and their members (by
-- name), data sets (by address, shared), objects whose metatable is a member of a module (a model's class). Anything
-- else is an error that names the upvalue. Functions that share an upvalue share it in the receiving state too.
-- Bytecode comes from this process only.
-- @module epact.ship

local ffi = require "ffi"
local buffer = require "string.buffer"
local core = require "epact.core"
local data = require "epact.data"

local ship = {}

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

-- A global variable is not in the worker's state; what Lua itself put among the globals is.
local function is_built_in(value)
  return type(value) == "function" and not pcall(string.dump, value)
end

--- What other states can `require`: value -> `{ module }`, or `{ module, member }`.
local function index_modules()
  local index = {}
  for name, module in pairs(package.loaded) do
    for key, member in pairs(type(module) == "table" and module or {}) do
      local kind = type(member)
      if type(key) == "string" and (kind == "function" or kind == "table" or kind == "userdata")
        and (name ~= "_G" or is_built_in(member)) then
        index[member] = { name, key }
      end
    end
  end
  for name, module in pairs(package.loaded) do -- a module's own name is better than its place in another
    if name ~= "_G" then index[module] = { name } end
  end
  return index
end

local function describe_function(f)
  local info = debug.getinfo(f, "S")
  return ("function at %s:%d"):format(info.short_src, info.linedefined)
end

-- pack(value, context, path, owner): a scalar or a short tagged list. Tables and functions are numbered, and stand
-- beside each other in context.object, however deep they were nested: string.buffer does not go far down.
-- An error names `path`, the upvalue and the keys that led to the value, and `owner`, the function that has it.
local pack

local function refuse(path, owner, what, advice)
  if owner then path = ("upvalue '%s' of %s"):format(path, owner) end
  core.fail("%s is %s: %s", path, what, advice)
end

local function pack_function(f, context, path, owner)
  local ok, code = pcall(string.dump, f)
  if not ok then refuse(path, owner, "a C function of no loaded module", "it cannot be shipped to a worker") end
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
      upvalues[i] = { context.upvalues, pack(value, context, name, describe_function(f)) }
    end
  end
  return { "function", code, upvalues }
end

local function pack_table(t, context, path, owner)
  local keys, values, n = {}, {}, 0
  for key, value in pairs(t) do
    n = n + 1
    keys[n] = pack(key, context, path .. " (a key)", owner)
    local inner = type(key) == "string" and path .. "." .. key or ("%s[%s]"):format(path, tostring(key))
    values[n] = pack(value, context, inner, owner)
  end
  return { "table", keys, values, n, getmetatable(t) and context.modules[getmetatable(t)] }
end

local function pack_reference(value, context, path, owner)
  local kind = type(value)
  if kind == "table" and getmetatable(value) and not context.modules[getmetatable(value)] then
    refuse(path, owner, ("an object with a metatable (%s)"):format(tostring(value):sub(1, 60)),
      "make it inside the worker function, or pass plain data")
  end
  local number = context.number[value]
  if not number then
    number = #context.object + 1
    context.number[value], context.object[number] = number, false
    context.object[number] = (kind == "function" and pack_function or pack_table)(value, context, path, owner)
  end
  return { "object", number }
end

function pack(value, context, path, owner)
  local kind = type(value)
  if kind == "nil" then return { "nil" } end
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  local place = context.modules[value]
  if place then return { "module", place[1], place[2] } end
  if kind == "table" or kind == "function" then return pack_reference(value, context, path, owner) end
  if kind == "cdata" then
    if ffi.istype(int64, value) then return int64(value) end -- a const one, too
    if ffi.istype(uint64, value) then return uint64(value) end
    if data.kind(value) then
      local open, address = pcall(data.export, value)
      return open and { "data", address } or refuse(path, owner, "a data set that was closed", "nothing is left of it")
    end
  end
  local what = kind == "cdata" and ("cdata (%s)"):format(tostring(ffi.typeof(value))) or kind
  return refuse(path, owner, kind == "thread" and "a coroutine" or "a " .. what,
    "it cannot be shipped to a worker; make it inside the worker function")
end

local unpack_value

-- A module, or a member of it: { module, member }.
local function find_member(place)
  local module = require(place[1])
  if place[2] then return module[place[2]] end
  return module
end

local function unpack_function(record, number, context)
  local f = assert(loadstring(record[2]))
  context.made[number] = f
  for i, upvalue in ipairs(record[3]) do
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

local function unpack_table(record, number, context)
  local t = {}
  context.made[number] = t
  for i = 1, record[4] do t[unpack_value(record[2][i], context)] = unpack_value(record[3][i], context) end
  return record[5] and setmetatable(t, find_member(record[5])) or t
end

local unpackers = {
  ["nil"] = function() return nil end,
  object = function(tree, context)
    local number = tree[2]
    local record = context.object[number]
    local unpack_object = record[1] == "function" and unpack_function or unpack_table
    return context.made[number] or unpack_object(record, number, context)
  end,
  module = function(tree) return find_member { tree[2], tree[3] } end,
  data = function(tree) return data.import(tree[2]) end,
}

function unpack_value(tree, context)
  if type(tree) ~= "table" then return tree end
  return unpackers[tree[1]](tree, context)
end

--- A value (a function, too) as a string for another state of this process. Data sets in it must stay
-- alive until the string has been decoded.
-- @param value
-- @tparam string what names the value in an error
function ship.encode(value, what)
  local context = { modules = index_modules(), number = {}, object = {}, upvalue = {}, upvalues = 0 }
  local root = pack(value, context, what)
  return buffer.encode { root, context.object }
end

--- The value of a string made by `encode` in this process.
function ship.decode(encoded)
  local decoded = buffer.decode(encoded)
  return unpack_value(decoded[1], { object = decoded[2], made = {}, upvalue = {} })
end

return ship
