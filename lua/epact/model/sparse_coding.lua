--- Sparse coding: a dictionary in which each signal is the sum of a few atoms.
--
--   minimise  1/2 ||X - A D||_F^2 + l1 ||A||_1,   ||d_k|| <= 1,      X n x p, A n x K, D K x p
--
-- The signals, rows of X, are dealt to the workers; each has all of D. At a clock a worker finds the best codes of its
-- signals, each a lasso with a certified duality gap, and adds their S = A'A and B = A'X to sums over all workers. From
-- these each makes the same update of D, atom by atom exactly:
--
--   u = d_k + (B_k - sum_l S_kl d_l) / S_kk,      d_k <- u / max(1, ||u||)
--
-- Without `batch` a clock is an epoch: alternating minimisation, whose objective never rises, and which is the same on
-- several workers as on one, up to rounding. With `batch`, that many signals of all workers together are encoded at a
-- clock, and older sums fade: S <- beta S + A'A, as in Mairal et al. 2010 (3.4.2).
--
-- Memory of a worker, in bytes: 4 K a signal of its own for codes to begin from (K rounded up to a multiple of 8; with
-- `batch`, of the batch only), 12 K^2 for encoding, 16 K (K + p) for the sums, and with several workers about
-- 40 K (K + p) more.
--
-- Sources: Mairal, Bach, Ponce, Sapiro, ICML 2009, JMLR 11, 2010.
-- @module epact.model.sparse_coding

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.sparse_coding"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local partition = require "epact.partition"
local rng = require "epact.rng"
local store = require "epact.model.store"
local sums = require "epact.model.sums"

local sparse_coding = {}

local known = {
  atoms = { "count", 64 },            -- K; more than there are signals is allowed
  l1 = { "positive", 0.1 },
  epochs = { "count", 20 },
  batch = { "count" },                -- signals a clock, of all workers; default: all
  passes = { "count", 1 },            -- over the atoms in an update of the dictionary
  tolerance = { "non_negative", 1e-4 }, -- stop when an epoch makes the objective fall by less than this part of it
  gap = { "positive", 1e-6 },         -- of each code, in units of 1/2 ||x||^2
  dictionary = { "any" },             -- where to begin, K x p; default: random signals
  seed = { "integer" },
  name = { "string", "sparse_coding" }, -- of its tables; a second model of the same job needs another
  on_report = { "function" },         -- called by worker 0 with the newest of `history`
}

local methods = {}

--- Class of the models: its metatable.
sparse_coding.Model = {
  __index = methods,
  __tostring = function(self)
    return ("epact.model.sparse_coding <%d atoms x %d, l1 %g, objective %g, %s>"):format(self.atoms.rows,
      self.atoms.cols, self.l1, self.objective, self.status)
  end,
}

local function check_dictionary(D, o, X)
  if D == nil then return end
  kernel.check("sparse_coding.fit", "option 'dictionary'", D)
  if D.rows ~= o.atoms or D.cols ~= X.cols then
    core.fail("sparse_coding.fit: option 'dictionary' must be %d x %d, got %s", o.atoms, X.cols, tostring(D))
  end
end

local fit_methods = {}
local fit_class = { __index = fit_methods }

-- A random signal that is not 0 as an atom; where there is none, as there may be, a random direction.
function fit_methods:place(atom, stream)
  local X, D = self.X, self.D
  for _ = 1, 20 do
    if D:place(atom, X.value + stream:below(X.rows) * X.cols) then return end
  end
  local direction = ffi.new("double[?]", X.cols)
  for j = 0, X.cols - 1 do direction[j] = stream:normal() end
  D:place(atom, direction)
end

-- One model while it is fitted, as a worker sees it.
local function begin(w, X, o)
  local K, p = o.atoms, X.cols
  local first, last = partition.share(X, w.id, w.workers)
  local own, D = X:slice(first, last), kernel.dictionary(K, p)
  w:claim("sparse_coding.fit", o.name, true)
  local self = setmetatable({
    w = w, X = X, o = o, own = own, D = D, seed = o.seed or w.seed, S = linear.zeros(K * K), B = linear.zeros(K * p),
    sums = sums.new(w, o.name, { s = { K, K, "f64" }, b = { K, p, "f64" }, told = { 1, 3 + w.workers, "f64" } }),
    told = linear.zeros(3 + w.workers), started = core.C.epact_now(),
    at = { epoch = 1, clock = 0, updates = 0, history = {} },
  }, fit_class)
  if o.batch then
    -- The sums so far, which fade, and the order of this worker's signals.
    self.kept_s, self.kept_b = linear.zeros(K * K), linear.zeros(K * p)
    self.order, self.rng = linear.identity(own.rows), rng(self.seed, w.id + 1, 1)
    self.clocks = math.ceil(X.rows / o.batch)
    self.room = math.ceil(own.rows / self.clocks)
    self.signal, self.code = linear.zeros(self.room * p), D:codes(self.room)
  else
    self.code = D:codes(own.rows)
  end
  if o.dictionary then
    D:take(o.dictionary)
  else
    local stream = rng(self.seed, 1)
    for k = 0, K - 1 do self:place(k, stream) end
  end
  return self
end

-- With snapshots a job goes on where it was. A worker keeps one state; without snapshots it may fit more models.
function fit_methods:keep_state()
  local w, D, n = self.w, self.D, self.own.rows
  if not w.snapshots then return end
  local arrays = { { D.value, D.atoms * D.dims * 8 } }
  if self.o.batch then
    arrays[2], arrays[3] = { self.kept_s, D.atoms ^ 2 * 8 }, { self.kept_b, D.atoms * D.dims * 8 }
    arrays[4] = { self.order, n * 4 }
  else
    arrays[2] = { self.code, n * D.stride * 4 }
  end
  w:state(function()
    local state = { at = self.at, sums = self.sums:state(), seconds = core.C.epact_now() - self.started,
      rng = self.rng and self.rng:state() }
    for i, array in ipairs(arrays) do state[i] = ffi.string(array[1], array[2]) end
    return state
  end, function(state)
    self.at, self.started = state.at, self.started - state.seconds
    self.sums:restore(state.sums)
    if self.rng then self.rng:restore(state.rng) end
    for i, array in ipairs(arrays) do ffi.copy(array[1], state[i], array[2]) end
  end)
end

-- Encodes signals of this worker, and joins what came of it with the others. Returns the sums A'A and A'X, and in a
-- table the objective, non-zeros, open signals and largest gap.
function fit_methods:clock(signal, signals, code)
  local o, D, told, S, B = self.o, self.D, self.told, self.S, self.B
  if not self.sums:given() then
    ffi.fill(S, D.atoms ^ 2 * ffi.sizeof "double")
    ffi.fill(B, D.atoms * D.dims * ffi.sizeof "double")
    ffi.fill(told, (3 + self.w.workers) * ffi.sizeof "double")
    local result = D:refresh():encode(signal, signals, o.l1, o.gap, code)
    D:add(code, signal, signals, S, B)
    told[0], told[1], told[2] = result.objective, tonumber(result.nonzeros), tonumber(result.open)
    told[3 + self.w.id] = result.largest_gap
  end
  local all = self.sums:of { s = S, b = B, told = told }
  local found = { objective = all.told[0], nonzeros = all.told[1], open = all.told[2], gap = 0 }
  for worker = 0, self.w.workers - 1 do found.gap = math.max(found.gap, all.told[3 + worker]) end
  return all.s, all.b, found
end

-- Begins atoms that no signal uses anew, as random signals; the objective can only fall.
function fit_methods:revive(dead)
  local stream = rng(self.seed, 2, self.at.updates)
  for _, atom in ipairs(dead) do self:place(atom, stream) end
  return #dead
end

-- Whether the epoch that found this has changed little.
function fit_methods:converged(found)
  local before = self.at.history[self.at.epoch - 1]
  return before and math.abs(before.objective - found.objective) <= self.o.tolerance * before.objective
end

-- With several workers the barriers of the sums are clocks; one alone says when its state can be saved.
function fit_methods:lone_clock()
  if self.w.workers == 1 then self.w:clock() end
end

-- An epoch of alternating minimisation. Says what there was at its dictionary, which the last one leaves as it is.
function fit_methods:alternate()
  local own, o, at = self.own, self.o, self.at
  local S, B, found = self:clock(own.value, own.rows, self.code)
  if at.epoch == o.epochs or self:converged(found) then return found end
  at.updates = at.updates + 1
  found.revived = self:revive(self.D:update(S, B, o.passes))
  return found
end

-- How much of the older sums is kept at the update: so that its weights are like those of single signals.
local function keep_of(update, batch)
  local theta = update < batch and update * batch or batch ^ 2 + update - batch
  return (theta + 1 - batch) / (theta + 1)
end

-- This worker's signals of a clock into `self.signal`, codes of 0 into `self.code`. Returns how many.
function fit_methods:take_batch(clock)
  local own, p = self.own, self.X.cols
  local from, to = partition.equal(own.rows, clock, self.clocks)
  for i = from, to - 1 do
    ffi.copy(self.signal + (i - from) * p, own.value + self.order[i] * p, p * ffi.sizeof "double")
  end
  ffi.fill(self.code, self.room * self.D.stride * ffi.sizeof "float")
  return to - from
end

-- An epoch in mini-batches, each worker's signals in a new order; tells what there was on the way.
function fit_methods:stream()
  local own, o, D, K, p, at = self.own, self.o, self.D, self.o.atoms, self.X.cols, self.at
  local dead = {}
  if not at.way then
    at.way = { objective = 0, nonzeros = 0, open = 0, gap = 0 }
    linear.shuffle(self.rng, self.order, own.rows)
  end
  while at.clock < self.clocks do
    local S, B, found = self:clock(self.signal, self:take_batch(at.clock), self.code)
    at.clock, at.updates = at.clock + 1, at.updates + 1
    local keep = keep_of(at.updates, o.batch)
    for e = 0, K * K - 1 do self.kept_s[e] = keep * self.kept_s[e] + S[e] end
    for e = 0, K * p - 1 do self.kept_b[e] = keep * self.kept_b[e] + B[e] end
    dead = D:update(self.kept_s, self.kept_b, o.passes)
    for _, name in ipairs { "objective", "nonzeros", "open" } do at.way[name] = at.way[name] + found[name] end
    at.way.gap = math.max(at.way.gap, found.gap)
    if at.clock < self.clocks then self:lone_clock() end -- the last one is the epoch's
  end
  local way = at.way
  way.revived, at.way, at.clock = self:revive(dead), nil, 0
  return way
end

-- One epoch; at its end `at.status` says whether it was the last.
function fit_methods:epoch()
  local o, at, n = self.o, self.at, self.X.rows
  local found = o.batch and self:stream() or self:alternate()
  local now = { epoch = at.epoch, objective = found.objective, nonzeros = found.nonzeros / n, gap = found.gap,
    open = found.open, revived = found.revived or 0, seconds = core.C.epact_now() - self.started }
  at.status = self:converged(found) and "CONVERGED" or at.epoch == o.epochs and "MAXITER" or nil
  at.history[at.epoch] = now
  at.epoch = at.epoch + 1
  if self.w.id == 0 and o.on_report then o.on_report(now) end
  self:lone_clock()
end

--- Learns a dictionary; every worker of the job calls it with the same arguments: the whole of X.
--
-- Signals that are 0 have the code 0. Atoms that no signal uses begin anew as a random signal. What is not finite is
-- refused.
-- @param w the worker
-- @tparam epact_dense X n x p, a signal a row
-- @tparam ?table given `atoms` (64), `l1` (0.1), `epochs` (20), `batch` (signals a clock, of all workers together;
-- default: all), `passes` (over the atoms in an update, 1), `tolerance` (1e-4: stop when an epoch changes the objective
-- by no more than this part of it), `gap` (1e-6: the duality gap of each code, in units of 1/2 ||x||^2), `dictionary`
-- (dense, K x p: where to begin; default: random signals), `seed` (default: the job's), `name`, `on_report`
-- @treturn sparse_coding.Model on every worker the same: `atoms` (dense, K x p: D), `l1`, `gap`, `signals` (n),
-- `objective` (the sum over all signals, for this dictionary), `nonzeros` (of a code, on the mean), `status`
-- ("CONVERGED" or "MAXITER"), `history`: a list of `{ epoch, objective, nonzeros, gap (the largest of a code), open
-- (codes above the gap), revived (atoms begun anew), seconds }`; with `batch` its numbers are those of the codes on the
-- way
function sparse_coding.fit(w, X, given)
  options.worker("sparse_coding.fit", w)
  local o = options.read("sparse_coding.fit", given, known)
  kernel.check("sparse_coding.fit", "X", X)
  check_dictionary(o.dictionary, o, X)
  local fit = begin(w, X, o)
  fit:keep_state()
  while not fit.at.status do fit:epoch() end
  local last = fit.at.history[#fit.at.history]
  local objective, nonzeros = last.objective, last.nonzeros
  if o.batch then -- of the dictionary as it is in the end
    local _, _, found = fit:clock(fit.own.value, fit.own.rows, fit.D:codes(fit.own.rows))
    objective, nonzeros = found.objective, found.nonzeros / X.rows
  end
  local atoms = data.new("dense", o.atoms, X.cols)
  ffi.copy(atoms.value, fit.D.value, o.atoms * X.cols * ffi.sizeof "double")
  return setmetatable({ atoms = atoms, l1 = o.l1, gap = o.gap, signals = X.rows, objective = objective,
    nonzeros = nonzeros, status = fit.at.status, history = fit.at.history }, sparse_coding.Model)
end

-- Codes of new signals, and what came of it.
local function encode(self, where, X)
  kernel.check(where, "X", X)
  if X.cols ~= self.atoms.cols then
    core.fail("%s: X has %d columns, the atoms %d", where, X.cols, self.atoms.cols)
  end
  local D = kernel.dictionary(self.atoms.rows, self.atoms.cols)
  ffi.copy(D.value, self.atoms.value, D.atoms * D.dims * ffi.sizeof "double")
  local code = D:refresh():codes(X.rows)
  return code, D:encode(X.value, X.rows, self.l1, self.gap, code), D.stride
end

--- The codes of signals.
-- @tparam epact_dense X signals x p
-- @treturn epact_dense signals x K
function methods:predict(X)
  local code, _, stride = encode(self, "sparse_coding:predict", X)
  local K = self.atoms.rows
  local codes = data.new("dense", X.rows, K)
  for i = 0, X.rows - 1 do
    for k = 0, K - 1 do codes.value[i * K + k] = code[i * stride + k] end
  end
  return codes
end

--- The mean objective of a signal: 1/2 ||x - D'a||^2 + l1 ||a||_1, of its best code a.
function methods:score(X)
  local _, result = encode(self, "sparse_coding:score", X)
  return result.objective / X.rows
end

--- The atoms.
-- @treturn epact_dense K x p
function methods:dictionary() return self.atoms end

--- Writes the model to a file.
function methods:save(path)
  local fields = {}
  for name, value in pairs(self) do fields[name] = value end
  store.save(path, "sparse_coding", fields)
end

--- Reads a model that was written by `model:save`, in any Lua state.
function sparse_coding.load(path) return setmetatable(store.load(path, "sparse_coding"), sparse_coding.Model) end

return sparse_coding
