--- Non-negative matrix factorisation: V is nearly W H, in which nothing is below 0, so that parts only add up.
--
--   minimise  1/2 ||V - W H||_F^2,   W, H >= 0,      V n x m, W n x k, H k x m
--
-- The rows of V, with those of W, are dealt to the workers; each has all of H. At a clock a worker updates its rows
-- of W, then its part of V'W (m x k) and W'W (k x k) goes into sums over all workers, exactly, from which each makes
-- the same update of H. So the result is that of one worker, up to rounding. One update of a row x of either
-- factor, with b = V F, G = F'F of the other factor F, is for t = 0 .. k - 1
--
--   hals:            x_t <- max(0, x_t - (G_t'x - b_t) / G_tt)
--   multiplicative:  x_t <- x_t b_t / (G_t'x + 1e-12)
--
-- Neither lets the objective rise; it comes from traces, 1/2 ||V||^2 - <V'W, H> + 1/2 <W'W, HH'>, and has the noise of
-- single precision: about 1e-7 ||V||^2.
--
-- Memory of a worker, in bytes: 12 a non-zero of its rows (their transpose; none when V is dense), 4 k a row of its
-- part of W, 8 k a column of V, k rounded up to a multiple of 8; with several workers about 24 k a column more.
--
-- Sources: Cichocki, Phan 2009 (HALS); Lee, Seung 2000 (multiplicative).
-- @module epact.model.nmf

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.nmf"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local partition = require "epact.partition"
local rng = require "epact.rng"
local store = require "epact.model.store"
local sums = require "epact.model.sums"

local nmf = {}

local known = {
  factors = { "count", 10 },          -- k; more than V has rows or columns is allowed
  rule = { { "hals", "multiplicative" }, "hals" },
  epochs = { "count", 200 },
  sweeps = { "count", 1 },            -- updates of a row for each product with V
  tolerance = { "non_negative", 1e-4 }, -- of the projected gradient's norm, in units of the first epoch's
  weights = { "any" },                -- W at the start, n x k; default: random
  components = { "any" },             -- H at the start, k x m
  keep_weights = { "boolean", true }, -- the model has W
  seed = { "integer" },
  name = { "string", "nmf" },         -- of its tables; a second model of the same job needs another
  on_report = { "function" },         -- called by worker 0 with { epoch, objective, violation, seconds }
}

local methods = {}

--- Class of the models: its metatable.
nmf.Model = {
  __index = methods,
  __tostring = function(self)
    return ("epact.model.nmf <%d x %d, %d factors, objective %g, %s>"):format(self.rows, self.cols, self.factors,
      self.objective, self.status)
  end,
}

local function check_start(name, start, rows, cols)
  if start == nil then return end
  if data.kind(start) ~= "dense" or start.rows ~= rows or start.cols ~= cols then
    core.fail("nmf.fit: option '%s' must be a dense data set of %d x %d, got %s", name, rows, cols,
      data.kind(start) and tostring(start) or options.show(start))
  end
  for e = 0, rows * cols - 1 do
    if not (start.value[e] >= 0 and start.value[e] < math.huge) then
      core.fail("nmf.fit: option '%s': [%d][%d] is %g: it must be finite and not negative", name,
        math.floor(e / cols), e % cols, start.value[e])
    end
  end
end

local fit_methods = {}
local fit_class = { __index = fit_methods }

-- One model while it is fitted, as a worker sees it. All is done on V times `scale`; W is divided by it at the end.
local function begin(w, V, o, summary)
  local k, first, last = o.factors, partition.share(V, w.id, w.workers)
  local W, H = kernel.factor(last - first, k), kernel.factor(V.cols, k)
  local seed, deviation = o.seed or w.seed, math.sqrt(summary.sum * summary.scale / V.rows / V.cols / k)
  if o.weights then W:take(o.weights, first, summary.scale) else W:draw(first, 0, deviation, seed) end
  if o.components then H:take(o.components, 0, 1, true) else H:draw(0, 1, deviation, seed) end
  w:claim("nmf.fit", o.name, true)
  return setmetatable({
    w = w, V = V, o = o, W = W, H = H, first = first, scale = summary.scale, seed = seed,
    own = kernel.matrix(V:slice(first, last), summary.scale),
    half_norm = summary.squared_norm * summary.scale ^ 2 / 2,
    product = linear.zeros(H.count, "float"), square = linear.zeros(k * k + 1),
    sums = sums.new(w, o.name, { product = { V.cols, H.stride, "f32" }, square = { 1, k * k + 1, "f64" } }),
    started = core.C.epact_now(), at = { epoch = 1, reset = 0, gathered = false, history = {} },
  }, fit_class)
end

-- With snapshots a job goes on where it was: the epoch, both factors, and where the sums are. A worker keeps one state;
-- without snapshots it may fit more models.
function fit_methods:keep_state()
  local w = self.w
  if not w.snapshots then return end
  local bytes = ffi.sizeof "float"
  w:state(function()
    return { at = self.at, sums = self.sums:state(), seconds = core.C.epact_now() - self.started,
      W = ffi.string(self.W.value, self.W.count * bytes), H = ffi.string(self.H.value, self.H.count * bytes) }
  end, function(state)
    self.at, self.started = state.at, self.started - state.seconds
    self.sums:restore(state.sums)
    for _, name in ipairs { "W", "H" } do ffi.copy(self[name].value, state[name], #state[name]) end
  end)
end

-- One update of both factors.
function fit_methods:step()
  local o, W, H, k = self.o, self.W, self.H, self.o.factors
  if not self.sums:given() then
    self.square[k * k] = W:update(self.own, H, H:square(), o.rule, o.sweeps)
    W:multiply(self.own.by_column, self.product)
    ffi.copy(self.square, W:square(), k * k * ffi.sizeof "double")
  end
  local all = self.sums:of { product = self.product, square = self.square }
  local violation = all.square[k * k] + H:update_from(all.product, all.square, o.rule, o.sweeps)
  local gram = H:square()
  local objective = math.max(0, self.half_norm - H:inner(all.product) + linear.dot(k * k, gram, all.square) / 2)
  return objective / self.scale ^ 2, math.sqrt(violation), all.square
end

-- What is left of a row of V, at its best weights, where H adds up to too little; nil when that is next to nothing.
-- Every worker can do this, and does, with the same result.
function fit_methods:remainder(i)
  local V, k, H = self.V, self.o.factors, self.H
  local row, one = V:slice(i, i + 1), kernel.factor(1, k)
  one:update(kernel.matrix(row, self.scale, false), H, H.gram, "hals", 50)
  local left, squares = linear.zeros(V.cols), 0
  if data.kind(V) == "sparse" then
    local index, value, count = row:row(0)
    for e = 0, count - 1 do left[index[e]] = value[e] * self.scale end
  else
    for j = 0, V.cols - 1 do left[j] = row.value[j] * self.scale end
  end
  local norm = linear.dot(V.cols, left, left)
  for j = 0, V.cols - 1 do
    local fitted = 0
    for t = 0, k - 1 do fitted = fitted + one.value[t] * H.value[j * H.stride + t] end
    left[j] = math.max(0, left[j] - fitted)
    squares = squares + left[j] ^ 2
  end
  return squares > 1e-8 * norm and left or nil
end

local function mean_of(factors, k)
  local sum = 0
  for i = 0, factors.rows - 1 do
    for t = 0, k - 1 do sum = sum + factors.value[i * factors.stride + t] end
  end
  return sum / math.max(1, factors.rows * k)
end

-- A component that has become 0 begins anew, with what is left of a random row of V. Its other factor becomes 0, so
-- that the objective stays as it is, and can only fall with the next update; or a thousandth of the mean, as a
-- multiplicative update never leaves 0.
function fit_methods:revive(square)
  local k, W, H = self.o.factors, self.W, self.H
  for t = 0, k - 1 do
    local dead = H.gram[t * k + t] <= 0 or square[t * k + t] <= 0
    local left = dead and self:remainder(rng(self.seed, 3, self.at.reset):below(self.V.rows))
    if dead then self.at.reset = self.at.reset + 1 end
    if left then
      local start = self.o.rule == "multiplicative" and 1e-3 * mean_of(W, k) or 0
      for i = 0, W.rows - 1 do W.value[i * W.stride + t] = start end
      for j = 0, H.rows - 1 do H.value[j * H.stride + t] = left[j] end
      H:square()
    end
  end
end

-- One epoch; at its end `at.status` says whether it was the last.
function fit_methods:epoch()
  local w, o, at = self.w, self.o, self.at
  local objective, violation, square = self:step()
  local now = { epoch = at.epoch, objective = objective, violation = violation,
    seconds = core.C.epact_now() - self.started }
  at.history[at.epoch] = now
  if w.id == 0 and o.on_report then o.on_report(now) end
  if violation <= o.tolerance * at.history[1].violation then
    at.status = "CONVERGED"
  elseif at.epoch == o.epochs then
    at.status = "MAXITER"
  else
    self:revive(square)
    at.epoch = at.epoch + 1
  end
  if w.workers == 1 then w:clock() end -- for snapshots; with several workers the sums' barriers are clocks
end

--- Fits the model; every worker of the job calls it with the same arguments: the whole of V.
--
-- A negative or infinite entry is refused. A zero row of V has zero weights, a zero column zero components. There may
-- be more factors than V has rows or columns. Components that become 0 begin anew with what is left of a random row.
-- @param w the worker
-- @tparam epact_sparse|epact_dense V n x m
-- @tparam ?table given `factors` (10), `rule` ("hals", "multiplicative"), `epochs` (200), `sweeps` (updates of a row
-- for each product with V, 1), `tolerance` (1e-4: stop when the norm of the projected gradients is that part of the
-- first epoch's), `weights` and `components` (dense, n x k and k x m: where to begin; default: sqrt(mean(V) / k) |N(0,
-- 1)|), `keep_weights` (true), `seed` (default: the job's), `name`, `on_report`
-- @treturn nmf.Model on every worker the same: `components` (dense, k x m: H), `weights` (dense, n x k: W), `rows`,
-- `cols`, `factors`, `objective`, `explained` (the part of ||V||^2 that is in W H), `status` ("CONVERGED" or
-- "MAXITER"), `history`: a list of `{ epoch, objective, violation, seconds }`
function nmf.fit(w, V, given)
  options.worker("nmf.fit", w)
  local o = options.read("nmf.fit", given, known)
  local summary = kernel.summary("nmf.fit", V)
  if o.factors > kernel.most_factors then
    core.fail("nmf.fit: at most %d factors, got %d", kernel.most_factors, o.factors)
  end
  check_start("weights", o.weights, V.rows, o.factors)
  check_start("components", o.components, o.factors, V.cols)
  local fit = begin(w, V, o, summary)
  fit:keep_state()
  while not fit.at.status do fit:epoch() end
  local at, objective = fit.at, fit.at.history[#fit.at.history].objective
  local model = { components = fit.H:dense(1, true), rows = V.rows, cols = V.cols, factors = o.factors,
    objective = objective, explained = summary.squared_norm > 0 and 1 - 2 * objective / summary.squared_norm or 1,
    status = at.status, history = at.history }
  if o.keep_weights then
    local W, all = fit.W, kernel.factor(0, o.factors)
    all.rows, all.value = V.rows, sums.gather(w, o.name .. ".weights", { V.rows, W.stride, "f32" },
      { fit.first, W.rows, W.value }, at)
    model.weights = all:dense(1 / summary.scale)
  end
  return setmetatable(model, nmf.Model)
end

-- The best weights W for the rows of V, times `scale`; VH' of them, and HH'.
local function describe(self, where, V)
  local summary = kernel.summary(where, V)
  if V.cols ~= self.cols then core.fail("%s: V has %d columns, the model %d", where, V.cols, self.cols) end
  local W, H = kernel.factor(V.rows, self.factors), kernel.factor(self.cols, self.factors)
  H:take(self.components, 0, 1, true)
  local product, gram, first = linear.zeros(W.count, "float"), H:square(), nil
  H:multiply(kernel.matrix(V, summary.scale, false).by_row, product)
  for _ = 1, 100 do -- convex, and cheap as V is not needed any more
    local violation = W:update_from(product, gram, "hals", 10)
    first = first or violation
    if violation <= 1e-12 * first then break end
  end
  return W, product, H, summary
end

--- The weights of each row of V, new rows or those of the fit, for the components as they are.
-- @tparam epact_sparse|epact_dense V rows x m
-- @treturn epact_dense rows x k
function methods:predict(V)
  local W, _, _, summary = describe(self, "nmf:predict", V)
  return W:dense(1 / summary.scale)
end

--- The part of ||V||^2 that the components describe: 1 - ||V - W H||^2 / ||V||^2, with W the best weights for V.
function methods:score(V)
  local W, product, H, summary = describe(self, "nmf:score", V)
  local norm = summary.squared_norm * summary.scale ^ 2
  if norm == 0 then return 1 end
  return (2 * W:inner(product) - linear.dot(self.factors ^ 2, W:square(), H.gram)) / norm
end

--- Writes the model to a file.
function methods:save(path)
  local fields = {}
  for name, value in pairs(self) do fields[name] = value end
  store.save(path, "nmf", fields)
end

--- Reads a model that was written by `model:save`, in any Lua state.
function nmf.load(path) return setmetatable(store.load(path, "nmf"), nmf.Model) end

return nmf
