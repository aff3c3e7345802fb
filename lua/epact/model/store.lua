--- Models in files: what `model:save(path)` writes and `NAME.load(path)` reads.
--
-- A file is one line of text, "epact-model 1 KIND BYTES CRC32C", and the fields, encoded by LuaJIT's string.buffer:
-- numbers, strings, booleans, tables of them, and dense data sets as their little-endian doubles; no code. It is
-- written beside and renamed, so that a crash leaves the old file or the new one; what was cut or flipped is refused.
-- @module epact.model.store

local ffi = require "ffi"
local buffer = require "string.buffer"
local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"
local C = core.C

local store = {}

local marker = "\1epact.dense" -- key of what stands for a data set

local function pack(value, path, open)
  if type(value) == "number" or type(value) == "string" or type(value) == "boolean" then return value end
  if type(value) == "cdata" and data.kind(value) == "dense" then
    return { [marker] = true, rows = value.rows, cols = value.cols,
      value = ffi.string(value.value, value.rows * value.cols * ffi.sizeof "double") }
  end
  if type(value) ~= "table" then
    core.fail("store.save: %s is %s: a model is made of plain values and dense data sets", path, options.show(value))
  end
  if open[value] then core.fail("store.save: %s is a table that is in itself", path) end
  open[value] = true
  local packed = {}
  for key, item in pairs(value) do
    if type(key) ~= "string" and type(key) ~= "number" then
      core.fail("store.save: %s has a key that is %s", path, options.show(key))
    end
    packed[key] = pack(item, ("%s.%s"):format(path, key), open)
  end
  open[value] = nil
  return packed
end

local function unpack_dense(packed)
  local dense = data.new("dense", packed.rows, packed.cols)
  local bytes = packed.rows * packed.cols * ffi.sizeof "double"
  if #packed.value ~= bytes then error("an array has another length than its shape says", 0) end
  ffi.copy(dense.value, packed.value, bytes)
  return dense
end

local function unpack_value(packed)
  if type(packed) ~= "table" then return packed end
  if packed[marker] then return unpack_dense(packed) end
  for key, item in pairs(packed) do packed[key] = unpack_value(item) end
  return packed
end

local function checksum(text) return C.epact_crc32c(0, text, #text) end

--- Writes the fields of a model, atomically.
-- @tparam string path
-- @tparam string kind what sort of model it is, a word
-- @tparam table fields of plain values, tables of them, and dense data sets
function store.save(path, kind, fields)
  options.argument(kind .. ":save", "path", "string", path)
  local body = buffer.encode(pack(fields, kind, {}))
  local text = ("epact-model 1 %s %d %08x\n%s"):format(kind, #body, checksum(body), body)
  core.check(C.epact_file_write_atomic(path, text, #text), kind .. ":save")
end

--- Reads what `store.save` has written. [E_IO] when there is no such file, [E_PARSE] when it is no whole model of
-- this kind.
-- @tparam string path
-- @tparam string kind
-- @treturn table the fields
function store.load(path, kind)
  local where = kind .. ".load"
  options.argument(where, "path", "string", path)
  local file, reason = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  if not text then core.fail("%s: cannot read %s: %s [E_IO]", where, path, reason or "it is no file") end
  local version, found, length, crc, at = text:match "^epact%-model (%d+) (%S+) (%d+) (%x+)\n()"
  if not version then core.fail("%s: %s is no model [E_PARSE]", where, path) end
  if version ~= "1" then core.fail("%s: %s is of version %s, this is version 1 [E_PARSE]", where, path, version) end
  if found ~= kind then core.fail("%s: %s is a model of kind '%s' [E_PARSE]", where, path, found) end
  local body = text:sub(at)
  if #body ~= tonumber(length) then
    core.fail("%s: %s is not whole: %d bytes of %s [E_PARSE]", where, path, #body, length)
  end
  if checksum(body) ~= tonumber(crc, 16) then
    core.fail("%s: %s is damaged: its checksum does not fit [E_PARSE]", where, path)
  end
  local ok, fields = pcall(function() return unpack_value(buffer.decode(body)) end)
  if not ok then core.fail("%s: %s cannot be read: %s [E_PARSE]", where, path, tostring(fields)) end
  return fields
end

return store
