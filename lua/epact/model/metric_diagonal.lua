--- A diagonal metric: how much each column counts in a distance.
--
--   minimise over a >= 0   sum over similar pairs d^2 - log(sum over dissimilar pairs d),   d^2 = sum_j a_j e_j^2,
--   e = x_i - x_j of a pair (i, j)
--
-- Both d^2 and -log sum d are convex in a. With s_j = sum over S of e_j^2, D = sum over D of d and
-- g_j = 1/D sum over D of e_j^2 / (2 d), Jensen's inequality bounds the objective from above by
-- sum_j s_j a_j - sum_j a_j^old g_j log a_j + constant, which touches it at a^old and is least at
--
--   a_j <- a_j g_j / s_j
--
-- So the objective never rises, there is no step to choose, and sum over S of d^2 is 1/2. At the optimum g_j = s_j
-- where a_j > 0 and g_j <= s_j elsewhere: the largest violation, in units of s_j, is how far away it is. The scale of
-- the columns does not matter.
--
-- The pairs are dealt to the workers; a worker adds its part of D and of the sums in g to a table, a row an update,
-- and a barrier makes the row whole: exact, for any number of workers. Memory: 8 bytes a pair.
--
-- Source: Xing, Ng, Jordan, Russell, NIPS 2002 (the problem; they solve it by Newton's method).
-- @module epact.model.metric_diagonal

local checks = require "epact.model.checks"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.metric"
local learned = require "epact.model.metric_model"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local pairs_of = require "epact.model.metric_pairs"
local partition = require "epact.partition"
local replay = require "epact.model.replay"
local rng = require "epact.rng"

local diagonal = {}

local known = {
  similar = { "any" }, dissimilar = { "any" }, -- edges between rows, instead of labels
  pairs = { "count", 200000 },        -- at most, of each kind: of more, so many are drawn
  epochs = { "count", 500 },          -- updates
  tolerance = { "positive", 1e-4 },   -- of g_j / s_j - 1
  seed = { "integer" },
  name = { "string", "metric" },      -- of its tables; a second model of the same job needs another
  on_report = { "function" },         -- called by worker 0 with the newest entry of the history
}

-- This worker's part of the pairs of a kind, and how many pairs each stands for.
local function take(w, kinds, name, o)
  local kind = kinds[name]
  kind.drawn = math.min(kind.count, o.pairs)
  local from, to = partition.equal(kind.drawn, w.id, w.workers)
  local first, second = linear.zeros(to - from, "uint32_t"), linear.zeros(to - from, "uint32_t")
  kind:take(rng(o.seed or w.seed, name == "similar" and 2 or 3), from, to, first, second)
  return { count = to - from, first = first, second = second, scale = kind.count / math.max(1, kind.drawn) }
end

local methods = {}
local class = { __index = methods }

--- The sums of all workers over their pairs: a list by column, and the sum of the distances.
function methods:sum(row, pairs, a)
  local p, own = self.X.cols, linear.zeros(self.X.cols)
  if self.run:live() then
    local distances = kernel.diagonal(self.X, a, pairs.count, pairs.first, pairs.second, own)
    for j = 0, p - 1 do self.sums:inc(row, j, pairs.scale * own[j]) end
    self.sums:inc(row, p, pairs.scale * distances)
  end
  self.run:barrier()
  if not self.run:live() then return nil end
  local all, list = self.sums:get(row), {}
  for j = 0, p - 1 do list[j] = all[j] end
  return list, all[p]
end

-- s_j > 0, or no pair differs in column j: then a_j is 0.
local function check_columns(s, g)
  for j = 0, #s do
    if s[j] == 0 and g[j] > 0 then
      core.fail("metric.diagonal: column %d is the same in all similar pairs: it would count without bound", j)
    end
  end
end

-- One update of a. Returns the objective before it, and how far a was from the optimum.
local function update(self, g, distances)
  local a, s, squares, away = self.a, self.s, 0, 0
  for j = 0, self.X.cols - 1 do
    squares = squares + a[j] * s[j]
    if s[j] > 0 then
      local ratio = g[j] / distances / s[j]
      away = math.max(away, ratio - 1, a[j] > 1e-9 * self.first[j] and 1 - ratio or 0)
      a[j] = a[j] * ratio
    else
      a[j] = 0
    end
  end
  return squares - math.log(distances), away
end

--- Learns how much each column counts; every worker of the job calls it with the same arguments: the whole of X and y.
-- @function metric.diagonal
-- @param w the worker
-- @tparam epact_dense X
-- @tparam ?epact_dense y labels, rows x 1; or nil, with the options `similar` and `dissimilar` (see
-- `epact.model.metric`)
-- @tparam ?table given `similar`, `dissimilar`, `pairs` (at most, of each kind, 200000), `epochs` (updates at most,
-- 500), `tolerance` (1e-4), `seed`, `name`, `on_report`
-- @treturn table as from `metric.fit`, with L = diag(sqrt(a)): `status` is "CONVERGED" or "MAXITER", and the `history`
-- a list of `{ epoch, objective, away, seconds }`
function diagonal.fit(w, X, y, given)
  options.worker("metric.diagonal", w)
  local o = options.read("metric.diagonal", given, known)
  checks.rows("metric.diagonal", "X", X)
  local kinds, p, started = pairs_of.read("metric.diagonal", X, y, o.similar, o.dissimilar), X.cols, core.C.epact_now()
  if kinds.similar.count == 0 then core.fail "metric.diagonal: there is no similar pair: distances have no bound" end
  local similar, dissimilar = take(w, kinds, "similar", o), take(w, kinds, "dissimilar", o)
  w:claim("metric.diagonal", o.name, true)
  local self = setmetatable({ X = X, a = linear.zeros(p), s = {}, first = {}, history = {},
    sums = w:table(o.name .. ".diagonal", { rows = o.epochs + 1, cols = p + 1, staleness = 0 }) }, class)
  self.run = replay.begin(w, function()
    local a = {}
    for j = 0, p - 1 do a[j] = self.a[j] end
    return { a = a, s = self.s, first = self.first, history = self.history }
  end, function(state)
    for j = 0, p - 1 do self.a[j] = state.a[j] end
    self.s, self.first, self.history = state.s, state.first, state.history
  end)

  local s = self:sum(0, similar, nil)
  if s then
    for j = 0, p - 1 do
      self.s[j], self.first[j] = s[j], s[j] > 0 and 1 / (2 * p * s[j]) or 1 -- each column adds as much: 1/2 in all
      self.a[j] = self.first[j]
    end
  end
  local status = "MAXITER"
  for epoch = 1, o.epochs do
    local g, distances = self:sum(epoch, dissimilar, self.a)
    if g then
      if distances == 0 then core.fail "metric.diagonal: all dissimilar pairs are pairs of equal rows" end
      if epoch == 1 then check_columns(self.s, g) end
      local objective, away = update(self, g, distances)
      local now = { epoch = epoch, objective = objective, away = away, seconds = core.C.epact_now() - started }
      self.history[epoch] = now
      if w.id == 0 and o.on_report then o.on_report(now) end
      if away <= o.tolerance then
        status = "CONVERGED"
        break
      end
    end
  end

  local L = data.new("dense", p, p)
  for j = 0, p - 1 do L.value[j * p + j] = math.sqrt(self.a[j]) end
  return setmetatable({ L = L, similar = kinds.similar.count, dissimilar = kinds.dissimilar.count, status = status,
    objective = self.history[#self.history].objective, history = self.history }, learned.Model)
end

return diagonal
