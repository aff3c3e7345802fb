--- Similar and dissimilar pairs of rows: given one by one, or drawn from labels.
--
-- A kind of pairs has `count` (how many there are, unordered) and `take(rng, from, to, first, second)`, which fills
-- first[] and second[] with pairs number from .. to-1 of a mini-batch of `drawn` pairs. When `drawn` is `count` it is
-- each pair once, otherwise each is drawn uniformly and independently, three random numbers a pair: any part of a
-- mini-batch can be drawn without the parts before it.
-- @module epact.model.metric_pairs

local ffi = require "ffi"
local checks = require "epact.model.checks"
local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"
local C = core.C

local pairs_of = {}

local draws = 3 -- random numbers a pair

-- Pairs that are there as two arrays.
local function listed(count, list_first, list_second, keep)
  return { count = count, keep = keep, take = function(self, stream, from, to, first, second)
    stream:jump(draws * from)
    for t = from, to - 1 do
      local at = self.drawn == count and t or tonumber(C.epact_rng_below(stream, count))
      if self.drawn ~= count then stream:jump(draws - 1) end
      first[t - from], second[t - from] = list_first[at], list_second[at]
    end
  end }
end

local function given(where, name, X, edges)
  if data.kind(edges) ~= "edges" then
    core.fail("%s: option '%s' must be a data set of edges, got %s", where, name, options.show(edges))
  end
  for t = 0, edges.count - 1 do
    local a, b = edges.source[t], edges.target[t]
    if a >= X.rows or b >= X.rows then
      core.fail("%s: pair %d of '%s' is of rows %d and %d, X has %d", where, t, name, a, b, X.rows)
    end
    if a == b then core.fail("%s: pair %d of '%s' is row %d and itself", where, t, name, a) end
  end
  return listed(edges.count, edges.source, edges.target, edges)
end

-- Rows by class: class k has member[start[k]] .. member[start[k + 1] - 1].
local function group(y, classes)
  local start, member = {}, ffi.new("uint32_t[?]", y.rows)
  for k = 0, classes do start[k] = 0 end
  for i = 0, y.rows - 1 do start[y[i] + 1] = start[y[i] + 1] + 1 end
  for k = 1, classes do start[k] = start[k] + start[k - 1] end
  local free = {}
  for k = 0, classes - 1 do free[k] = start[k] end
  for i = 0, y.rows - 1 do
    member[free[y[i]]], free[y[i]] = i, free[y[i]] + 1
  end
  return start, member
end

-- The pairs that `choose(stream)` draws; when a mini-batch is to have them all, `each(visit)` lists them.
local function drawn(count, choose, each)
  local list
  return { count = count, take = function(self, stream, from, to, first, second)
    if self.drawn == count and not list then
      local a, b, n = ffi.new("uint32_t[?]", math.max(1, count)), ffi.new("uint32_t[?]", math.max(1, count)), 0
      each(function(i, j)
        a[n], b[n], n = i, j, n + 1
      end)
      list = listed(count, a, b)
      list.drawn = count
    end
    if list then return list:take(stream, from, to, first, second) end
    stream:jump(draws * from)
    for t = 0, to - from - 1 do first[t], second[t] = choose(stream) end
  end }
end

-- A class k with a probability in proportion to before[k + 1] - before[k].
local function pick_class(stream, before, classes)
  local wanted, low, high = C.epact_rng_uniform(stream) * before[classes], 0, classes - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if before[middle + 1] > wanted then high = middle else low = middle + 1 end
  end
  return low
end

local function below(stream, count) return tonumber(C.epact_rng_below(stream, count)) end

local function from_labels(where, y)
  local classes = checks.labels(where, "y", y)
  local start, member = group(y, classes)
  local n, similar, dissimilar = y.rows, { [0] = 0 }, { [0] = 0 } -- pairs of the classes before; ordered ones
  for k = 0, classes - 1 do
    local size = start[k + 1] - start[k]
    similar[k + 1], dissimilar[k + 1] = similar[k] + size * (size - 1) / 2, dissimilar[k] + size * (n - size)
  end
  local function each(same)
    return function(visit)
      for i = 0, n - 1 do
        for j = i + 1, n - 1 do
          if (y[i] == y[j]) == same then visit(i, j) end
        end
      end
    end
  end
  return {
    similar = drawn(similar[classes], function(stream)
      local k = pick_class(stream, similar, classes)
      local size = start[k + 1] - start[k]
      local a, b = below(stream, size), below(stream, size - 1)
      return member[start[k] + a], member[start[k] + (b < a and b or b + 1)]
    end, each(true)),
    dissimilar = drawn(dissimilar[classes] / 2, function(stream)
      local k = pick_class(stream, dissimilar, classes)
      local size = start[k + 1] - start[k]
      local a, b = start[k] + below(stream, size), below(stream, n - size)
      return member[a], member[b < start[k] and b or b + size]
    end, each(false)),
  }
end

--- The pairs of a job: from labels, or two data sets of edges.
-- @tparam string where the function as the user called it
-- @tparam epact_dense X
-- @tparam ?epact_dense y
-- @tparam ?epact_edges similar
-- @tparam ?epact_edges dissimilar
-- @treturn table `similar` and `dissimilar`
function pairs_of.read(where, X, y, similar, dissimilar)
  local kinds
  if similar ~= nil or dissimilar ~= nil then
    if y ~= nil then core.fail("%s: y must be nil when the pairs are given: they would say the same twice", where) end
    if similar == nil or dissimilar == nil then
      core.fail("%s: option '%s' is missing: pairs are given of both kinds", where,
        similar == nil and "similar" or "dissimilar")
    end
    kinds = { similar = given(where, "similar", X, similar), dissimilar = given(where, "dissimilar", X, dissimilar) }
  else
    checks.targets(where, "y", y, X.rows, 1)
    kinds = from_labels(where, y)
  end
  if kinds.dissimilar.count == 0 then
    core.fail("%s: there is no dissimilar pair: the best metric would put all rows in one place", where)
  end
  return kinds
end

return pairs_of
