--- How a data set is dealt to workers: contiguous parts of about equal work.
-- @module epact.partition

local options = require "epact.options"
local core = require "epact.core"
local data = require "epact.data"

local partition = {}

local sizes = { sparse = "rows", dense = "rows", corpus = "documents", ratings = "count", edges = "count" }

--- Number of items (rows, documents, ratings, edges) of a data set.
function partition.size(set)
  local kind = data.kind(set)
  if not kind then core.fail("shard: expected a data set, got %s", options.show(set)) end
  if set.owner == nil then core.fail("shard: this data set was closed") end
  return tonumber(set[sizes[kind]])
end

-- First item whose entries begin at or after the share of all entries: a binary search of `start`.
local function boundary(set, size, share)
  local first, last = tonumber(set.start[0]), tonumber(set.start[size])
  local wanted = first + (last - first) * share
  local low, high = 0, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(set.start[middle]) < wanted then low = middle + 1 else high = middle end
  end
  return low
end

--- Items [from, to) of part `id` of `parts`: equal numbers of them, but for one more or less.
-- @tparam number size how many items there are
-- @tparam number id from 0
-- @tparam number parts
-- @treturn number from
-- @treturn number to
function partition.equal(size, id, parts)
  return math.floor(size * id / parts), math.floor(size * (id + 1) / parts)
end

--- Items [from, to) of part `id` of `parts`: equal numbers of non-zeros (sparse, corpus) or of items (others).
-- @return from
-- @return to
function partition.share(set, id, parts)
  local size, kind = partition.size(set), data.kind(set)
  if kind ~= "sparse" and kind ~= "corpus" then return partition.equal(size, id, parts) end
  local function cut(part)
    if part <= 0 then return 0 end
    if part >= parts then return size end
    return boundary(set, size, part / parts)
  end
  return cut(id), cut(id + 1)
end

return partition
