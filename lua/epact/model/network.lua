--- Deep networks: dense layers for classification or regression, trained by mini-batches over the parameter server.
--
--   minimise  mean over rows of loss(output(x_i), y_i) + l2/2 (sum of squared weights),
--
--   softmax   -log softmax(output)_y        labels 0 .. classes-1
--   squared   1/2 ||output - y||^2
--
-- A table a layer holds its weights: a row for each of its inputs, and one, the last, for its biases. All workers walk
-- through the same order of the rows, new in each epoch; of each mini-batch a worker takes its part. Its gradient
--
--   g = 1/|batch| (sum of the gradients of its rows' losses) + |its rows|/|batch| l2 W
--
-- is its share of the batch's, whatever the parts. What becomes of it depends on the rule:
--
--   sgd            the worker adds -step g to the tables, and ends its clock.
--   adam, adagrad  divide by what past gradients were like, which is no sum of shares. Each row of a layer has an
--                  owner, who keeps the rule's memory of it. The worker adds g to a second table, the mail, and ends
--                  its clock; owners take the sums out of their rows of the mail, make one step of the rule with
--                  them, and end theirs. So the rule sees the gradient of the batch and not P noisier ones, and its
--                  memory exists once. (A single worker has no mail, and one clock a step.)
--
-- Under BSP P workers compute what one computes, with every rule, to rounding. (For that, with sgd a barrier stands
-- between the last look at the weights and the first step: BSP alone may show a slow worker the step of a fast one.)
-- Under SSP and Async an owner takes what has arrived; each gradient counts once, but for those still under way at the
-- end.
--
-- With snapshots (`epact.run`'s option) training goes on where it was.
--
-- Memory of a worker, in numbers (4 bytes, or 8 with type "f64") a parameter: its view, its gradient, the last good
-- parameters and those to become so: 4; with a rule 1 more (the mail's view) and the rule's / workers.
--
-- Sources: Glorot, Bengio 2010 and He et al. 2015 (the first weights); Srivastava et al. 2014 (dropout); Kingma, Ba
-- 2015 (Adam); Duchi, Hazan, Singer 2011 (AdaGrad); Dean et al. 2012 (data-parallel training of networks).
-- @module epact.model.network

local ffi = require "ffi"
local core = require "epact.core"
local checks = require "epact.model.checks"
local data = require "epact.data"
local epochs = require "epact.optim.epochs"
local kernel = require "epact.kernel.network"
local linear = require "epact.kernel.linear"
local options = require "epact.options"
local replay = require "epact.model.replay"
local rng = require "epact.rng"
local store = require "epact.model.store"
local trained = require "epact.model.network_model"

local network = { Model = trained.Model }

local known = {
  layers = { "table", {} },           -- units of the hidden layers; none: (multinomial) linear regression
  activation = { { "relu", "tanh", "sigmoid" }, "relu" },
  loss = { { "softmax", "squared" }, "softmax" },
  classes = { "count" },              -- default: as many as the labels say
  dropout = { "fraction", 0 },        -- of the units of each hidden layer
  l2 = { "non_negative", 0 },
  batch = { "count", 64 },            -- rows a step, of all workers together
  rule = { { "adam", "adagrad", "sgd" }, "adam" },
  step = { "positive" },              -- default: 0.001 (adam), 0.01 (adagrad), 0.1 (sgd)
  decay = { "positive", 1 },          -- of the step, an epoch
  beta1 = { "fraction", 0.9 }, beta2 = { "fraction", 0.999 }, -- of Adam
  epsilon = { "positive" },           -- default: 1e-8 (adam), 1e-10 (adagrad)
  epochs = { "count", 20 },
  tolerance = { "non_negative", 0 },  -- stop when the objective has changed by less, relatively, for 3 epochs
  type = { { "f32", "f64" }, "f32" },
  test = { "table" },                 -- { X, y }: rows to measure the score on, each epoch
  seed = { "integer" },
  on_divergence = { { "error", "keep" }, "error" },
  push = { "boolean", false },        -- ESSP: see epact.worker:table
  filter = { "table" },               -- of the increments (epact.worker:table)
  name = { "string", "network" },     -- of its tables; a second model of the same job needs another
  on_report = { "function" },         -- called by worker 0 with the newest entry of the history
}

local default_step = { adam = 0.001, adagrad = 0.01, sgd = 0.1 }
local block = 256 -- rows at once, where nothing is learned

local function check_data(X, y, o)
  checks.rows("network.fit", "X", X)
  checks.targets("network.fit", "y", y, X.rows, o.loss == "softmax" and 1 or nil)
  local outputs = y.cols
  if o.loss == "softmax" then
    local one
    outputs, one = checks.labels("network.fit", "y", y, o.classes)
    if one then core.fail("network.fit: every label in y is %d: there is nothing to tell apart", y[0]) end
  end
  if o.test then
    checks.rows("network.fit", "test[1]", o.test[1], X.cols)
    checks.targets("network.fit", "test[2]", o.test[2], o.test[1].rows, y.cols)
    if o.loss == "softmax" then checks.labels("network.fit", "test[2]", o.test[2], outputs) end
  end
  local units = { X.cols }
  for l, count in ipairs(o.layers) do
    units[l + 1] = options.argument("network.fit", ("layer %d of option 'layers'"):format(l), "count", count)
  end
  for key in pairs(o.layers) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 1 or key > #o.layers then
      core.fail("network.fit: option 'layers' must be a list, it has the key %s", options.show(key))
    end
  end
  units[#units + 1] = outputs
  return units
end

-- One model while it is trained, as a worker sees it.
local methods = {}
local class = { __index = methods }

local function share(count, w, id) return math.floor(count * id / w.workers) end

-- A layer's tables, and what this worker keeps for it.
local function open_layer(w, net, l, o)
  local rows, cols = net:shape(l)
  local first, last = share(rows, w, w.id), share(rows, w, w.id + 1)
  local layer = { rows = rows, cols = cols, size = rows * cols, first = first, last = last, kept = net:rows(l, rows),
    fresh = net:rows(l, rows), change = net:rows(l, 1),
    table = w:table(("%s.layer%d"):format(o.name, l), { rows = rows, cols = cols, type = o.type, push = o.push,
      filter = o.rule == "sgd" and o.filter or nil }) }
  if o.rule ~= "sgd" then layer.rule = kernel.rule(o.rule, (last - first) * cols, o) end
  if layer.rule and w.workers > 1 then
    layer.mail = w:table(("%s.mail%d"):format(o.name, l), { rows = rows, cols = cols, type = o.type, push = o.push,
      filter = o.filter })
    layer.taken, layer.own = net:rows(l, 1), {}
    for row = first, last - 1 do layer.own[row - first + 1] = row end
  end
  return layer
end

local function begin(w, X, y, units, o)
  local net = kernel.new { units = units, activation = o.activation, loss = o.loss, dropout = o.dropout,
    seed = o.seed or w.seed, type = o.type, batch = math.max(block, math.ceil(math.min(o.batch, X.rows) / w.workers)) }
  local self = setmetatable({ w = w, X = X, y = y, o = o, net = net, seed = o.seed or w.seed, layer = {}, views = {},
    steps = math.ceil(X.rows / o.batch), history = {}, started = core.C.epact_now(), sum = 0,
    order = linear.identity(X.rows), plain = linear.identity(math.max(X.rows, o.test and o.test[1].rows or 0)) }, class)
  w:claim("network.fit", o.name, true)
  for l = 1, net.layers do self.layer[l] = open_layer(w, net, l, o) end
  -- Sums of the workers: loss, test's loss, rows of test that are right, and whether and when a worker diverged.
  self.sums = w:table(o.name .. ".sums", { rows = o.epochs + 2, cols = 3 + w.workers, staleness = 0 })
  self.squares = 0 -- of the regression's test targets about their mean
  if o.test and o.loss == "squared" then self.squares = trained.squares(o.test[2]) end
  self.together = o.rule == "sgd" and w.workers > 1 and self.layer[1].table.staleness == 0 and not w.deterministic
  self.run = replay.begin(w, function() return self:state() end, function(state) self:restore(state) end)
  for l, layer in ipairs(self.run.resumed and {} or self.layer) do
    for row = layer.first, layer.last - 1 do
      layer.table:inc_row(row, net:draw(l, row, row + 1, self.seed, layer.change))
    end
  end
  self.run:barrier()
  return self
end

local plain_fields = { "sum", "diverged", "loss", "begun", "penalty", "objective", "test", "history" }

--- What a snapshot has of this worker: what was measured, the good parameters, the rules' memory, and a gradient that
-- waits to be published.
function methods:state()
  local state = { seconds = core.C.epact_now() - self.started, layer = {} }
  for _, name in ipairs(plain_fields) do state[name] = self[name] end
  for l, layer in ipairs(self.layer) do
    state.layer[l] = { kept = self.net:bytes(layer.kept, layer.size), fresh = self.net:bytes(layer.fresh, layer.size),
      rule = layer.rule and layer.rule:state(),
      gradient = self.loss and self.net:bytes(self.net.gradient_of[l], layer.size) }
  end
  return state
end

function methods:restore(state)
  self.started = self.started - state.seconds
  for _, name in ipairs(plain_fields) do self[name] = state[name] end
  self.net:allocate()
  for l, layer in ipairs(self.layer) do
    local kept = state.layer[l]
    self.net:restore(layer.kept, kept.kept)
    self.net:restore(layer.fresh, kept.fresh)
    if layer.rule then layer.rule:restore(kept.rule) end
    if kept.gradient then self.net:restore(self.net.gradient_of[l], kept.gradient) end
  end
end

function methods:look()
  for l, layer in ipairs(self.layer) do self.views[l] = layer.table:all() end
  return self.views
end

-- Adds to a table; false when a number to add is not finite.
local function add(method, ...)
  local finite, reason = pcall(method, ...)
  if not finite and core.error_code(reason) ~= "E_NONFINITE" then error(reason, 0) end
  return finite
end

--- This worker's share of one mini-batch's gradient (sgd: times the step), which waits to be published. Returns the sum
-- of the losses, nil when it is not finite.
function methods:gradient(number, first, size, step)
  local w, net, o = self.w, self.net, self.o
  local from, to = first + share(size, w, w.id), first + share(size, w, w.id + 1)
  local count, scale = net:gather(self.X, self.y, self.order, from, to), o.rule == "sgd" and -step or 1
  return net:gradient(self:look(), count, number, scale / size, scale * o.l2 * count / size)
end

--- Adds it to the tables (sgd) or the mail. False when a number in it is not finite.
function methods:publish()
  for l, layer in ipairs(self.layer) do
    local table = layer.mail or layer.table
    if not add(table.inc_all, table, self.net.gradient_of[l]) then return false end
  end
  return true
end

--- The rule's step, for the rows this worker owns, with the gradients that have arrived. False when it is not finite.
function methods:apply(step)
  for l, layer in ipairs(self.layer) do
    local table, mail, cols, change, taken = layer.table, layer.mail, layer.cols, layer.change, layer.taken
    local own = self.net.gradient_of[l] -- which is all there is for a single worker
    layer.rule:begin()
    if mail then mail:fetch(layer.own) end
    for row = layer.first, layer.last - 1 do
      local gradient = mail and mail:get(row) or own + row * cols
      layer.rule:change((row - layer.first) * cols, cols, gradient, step, change)
      if mail then
        self.net:copy(taken, gradient, cols)
        self.net:axpy(cols, -2, gradient, taken) -- g - 2 g: what takes it out of the mail
        mail:inc_row(row, taken)
      end
      if not add(table.inc_row, table, row, change) then return false end
    end
  end
  return true
end

--- One pass over the data: `sum` becomes the sum of the losses of this worker's rows, each before its step, `diverged`
-- the clock at which it diverged, if it did.
function methods:pass(epoch, step)
  local run, rows, batch, rule = self.run, self.X.rows, self.o.batch, self.o.rule ~= "sgd"
  local alone = rule and self.w.workers == 1 -- no mail
  if run:live() then self.sum, self.diverged = 0, nil end
  ffi.copy(self.order, self.plain, rows * ffi.sizeof "uint32_t")
  linear.shuffle(rng(self.seed, 0x6f72646572, epoch), self.order, rows)
  for number = 0, self.steps - 1 do
    local first = number * batch
    if run:live() and not self.diverged then
      self.loss = self:gradient((epoch - 1) * self.steps + number, first, math.min(batch, rows - first), step)
      if not self.loss then self.diverged = self.w:now() end
    end
    if self.together then run:barrier() end
    if run:live() and self.loss then
      if alone or self:publish() then self.sum = self.sum + self.loss else self.diverged = self.w:now() end
      self.loss = nil
    end
    if not alone then run:clock() end
    if rule then
      if run:live() and not self.diverged and not self:apply(step) then self.diverged = self.w:now() end
      run:clock()
    end
  end
end

-- Sum of the losses over this worker's part of some rows, nothing dropped, and how many labels are right.
local function evaluate(self, X, y)
  local w, net, loss, right = self.w, self.net, 0, 0
  local last = share(X.rows, w, w.id + 1)
  for first = share(X.rows, w, w.id), last - 1, block do
    local more, correct = net:evaluate(self.views, net:gather(X, y, self.plain, first, math.min(first + block, last)))
    loss, right = loss + more, right + correct
  end
  return loss, right
end

-- Between two barriers: this worker's part of what is measured.
local function add_sums(self, row, learned)
  local o, sums, cell = self.o, self.sums, {}
  for l, view in ipairs(self:look()) do self.net:copy(self.layer[l].fresh, view, self.layer[l].size) end
  self.penalty = o.l2 / 2 * self.net:squares(self.views)
  if not self.diverged then
    cell[0], cell[1], cell[2] = learned and self.sum or evaluate(self, self.X, self.y), 0, 0
    if o.test then cell[1], cell[2] = evaluate(self, o.test[1], o.test[2]) end
    if (cell[0] + cell[1] + self.penalty) * 0 ~= 0 then self.diverged = self.w:now() end
  end
  if self.diverged then sums:inc(row, 3 + self.w.id, self.diverged + 1) end
  for i = 0, self.diverged and -1 or 2 do sums:inc(row, i, cell[i]) end
end

--- At a barrier the parameters are exact, and the same for all. Finds what all workers together have: the objective (of
-- what was `learned` since the last time, or of all rows now), the score of the test, the clock of a divergence, which
-- it returns. Unless there was one the parameters are kept, as the last good ones.
function methods:measure(row, learned)
  local w, run, o = self.w, self.run, self.o
  run:barrier()
  if run:live() then add_sums(self, row, learned) end
  run:barrier()
  if not run:live() then return nil end
  local all, score = self.sums:get(row), nil
  local clock = epochs.first_divergence(all, 3, w.workers)
  local objective = all[0] / self.X.rows + self.penalty
  if o.test then
    score = o.loss == "softmax" and all[2] / o.test[1].rows or 1 - 2 * all[1] / self.squares
  end
  self.begun = self.begun or objective
  -- What was measured with units dropped is set beside what was measured so before.
  local before = self.begun
  if learned and o.dropout > 0 then before = self.history[1] and self.history[1].objective or math.huge end
  if clock or objective > 10 * before then return clock or w:now() end
  self.objective, self.test = objective, score
  for _, layer in ipairs(self.layer) do self.net:copy(layer.kept, layer.fresh, layer.size) end
  return nil
end

--- An epoch's entry in the history, once it was measured.
function methods:note(epoch, step)
  local now = { epoch = epoch, objective = self.objective, test = self.test, step = step,
    seconds = core.C.epact_now() - self.started }
  self.history[epoch] = now
  if self.w.id == 0 and self.o.on_report then self.o.on_report(now) end
end

-- The kept parameters of all layers, as a list of dense data sets.
local function take_weights(self)
  local weights = {}
  for l, layer in ipairs(self.layer) do
    weights[l] = data.new("dense", layer.rows, layer.cols)
    for i = 0, layer.rows * layer.cols - 1 do weights[l].value[i] = layer.kept[i] end
  end
  return weights
end

--- Trains a network; every worker of the job calls it with the same arguments: the whole of X and y. Columns of X
-- should have about the same spread.
--
-- A run whose loss leaves the finite numbers, or whose objective becomes ten times what it was before the first step,
-- has diverged: an error that names the clock, or, with `on_divergence = "keep"`, the model as it was after the last
-- good epoch.
-- @param w the worker
-- @tparam epact_dense X
-- @tparam epact_dense y softmax: labels 0 .. classes-1 (rows x 1); squared: rows x outputs
-- @tparam ?table given `layers` (units of the hidden layers, {}), `activation` ("relu", "tanh", "sigmoid"), `loss`
-- ("softmax", "squared"), `classes`, `dropout` (0), `l2` (0), `batch` (rows a step, of all workers together, 64),
-- `rule` ("adam", "adagrad", "sgd"), `step` (0.001, 0.01, 0.1), `decay` (of the step each epoch, 1), `beta1`, `beta2`,
-- `epsilon`, `epochs` (20), `tolerance` (0: all epochs), `type` ("f32", "f64"), `test` (`{ X, y }`), `seed`,
-- `on_divergence` ("error", "keep"), `push`, `filter`, `name`, `on_report`
-- @treturn table on every worker the same: `weights` (a list: a data set of (inputs + 1) x units a layer, biases last),
-- `units`, `activation`, `loss`, `objective` (of all rows, nothing dropped), `status` ("CONVERGED", "MAXITER",
-- "DIVERGED"), `failure`, `test` (the last score), `history`: a list of `{ epoch, objective (as it was while learning),
-- test (its accuracy, or R^2), step, seconds }`
function network.fit(w, X, y, given)
  options.worker("network.fit", w)
  local o = options.read("network.fit", given, known)
  local units = check_data(X, y, o)
  o.step = o.step or default_step[o.rule]
  local fit, step, failure, status = begin(w, X, y, units, o), o.step, nil, "MAXITER"
  if fit:measure(0) then
    core.fail "network.fit: the loss is not finite before the first step: scale X, or y [E_DIVERGED]"
  end
  for epoch = 1, o.epochs do
    fit:pass(epoch, step)
    local clock = fit:measure(epoch, true)
    if clock then
      status, failure = "DIVERGED", epochs.diverged("network.fit", clock, epoch, epochs.too_large(o.step))
      if o.on_divergence == "error" then core.fail("%s", failure) end
      break
    end
    if fit.run:live() then fit:note(epoch, step) end
    -- A replay, too, has the history of what it goes through.
    if epochs.objective_settled(fit.history, o.tolerance, epoch) then
      status = "CONVERGED"
      break
    end
    step = math.max(step * o.decay, 1e-30) -- a float, and not 0
  end
  if not failure then fit:measure(o.epochs + 1) end
  return setmetatable({ units = units, activation = o.activation, loss = o.loss, type = o.type, status = status,
    failure = failure, objective = fit.objective, test = fit.test, history = fit.history, weights = take_weights(fit) },
    network.Model)
end

--- Reads what `model:save` has written, in any Lua state.
-- @tparam string path
function network.load(path) return setmetatable(store.load(path, "network"), network.Model) end

return network
