--- In which order workers take an LDA's tokens, and how they hear of each other's counts.
--
-- - "documents": each worker its documents, a block of them a clock, against a replica of all counts; what it changed
--   is published, what the others changed comes back up to `staleness` clocks late.
-- - "rotation": words are dealt to blocks of about as many tokens. Each worker keeps its documents, and in a round
--   samples only the tokens of one block, which no other worker has meanwhile: the rows of the word-topic counts are
--   never stale. Only the totals n_k of the topics are, by what the others do in the same round; they are summed after
--   each. In one process the counts are plain memory that all workers share (w:shared), a single replica; between
--   processes, with snapshots, and in deterministic mode, they are exchanged after each round as those of "documents".
--   While topics take shape it takes some sweeps more than "documents", which cost less time. With `fugue` who has
--   sampled its block goes on with it, until all have sampled theirs.
--
-- Sources: Kumar, Beutel, Ho, Xing 2014 (Fugue); Lee, Kim, Zheng, Ho, Gibson, Xing 2014 (STRADS); Zheng, Kim, Ho, Xing
-- 2014.
-- @module epact.mcmc.lda_orders

local ffi = require "ffi"
local partition = require "epact.partition"
local Sampler = require "epact.kernel.lda"
local rotation = require "epact.sched.rotation"

local orders = {}

-- Words of which the rows of counts share a line of the cache, and so go to one block.
local neighbours = 4

--- Deals words to blocks: the most frequent first, each to the block that has the least.
-- @param tokens int64_t array, of each word
-- @tparam number words
-- @tparam number blocks
-- @treturn cdata uint16_t array, the block of each word
-- @treturn table tokens of each block, from 0
function orders.deal(tokens, words, blocks)
  local groups, order = math.ceil(words / neighbours), {}
  local size, load, block = ffi.new("double[?]", groups), {}, ffi.new("uint16_t[?]", words)
  for word = 0, words - 1 do
    local group = math.floor(word / neighbours)
    size[group] = size[group] + tonumber(tokens[word])
  end
  for group = 0, groups - 1 do order[group + 1] = group end
  table.sort(order, function(a, b)
    if size[a] ~= size[b] then return size[a] > size[b] end
    return a < b
  end)
  for b = 0, blocks - 1 do load[b] = 0 end
  for _, group in ipairs(order) do
    local least = 0
    for b = 1, blocks - 1 do
      if load[b] < load[least] then least = b end
    end
    load[least] = load[least] + size[group]
    for word = group * neighbours, math.min(words, (group + 1) * neighbours) - 1 do block[word] = least end
  end
  return block, load
end

-- What both have: counts that are exchanged through a table.
local exchange = {}

function exchange:publish() self.counts:inc_many(self.sampler:changes()) end

function exchange:catch_up()
  for section in self.counts:changes() do self.sampler:apply(section) end
end

local function open_counts(fit, staleness)
  return fit.w:table(fit.o.name .. ".counts", { rows = fit.corpus.words, cols = fit.o.topics, type = "i32",
    sparse = fit.sparse, sparse_updates = true, changes = true, staleness = staleness })
end

local function new_sampler(fit, more)
  local o = fit.o
  local given = { documents = fit.corpus:slice(fit.first, fit.last), first_document = fit.first, topics = o.topics,
    alpha = o.alpha, beta = o.beta, word_tokens = fit.word_tokens, seed = fit.seed }
  for name, value in pairs(more) do given[name] = value end
  return Sampler(given)
end

local by_documents = setmetatable({}, { __index = exchange })
by_documents.__index = by_documents

--- Clocks of a sweep. While topics get their first words, workers must hear of each other often to mean the same by a
-- topic.
function by_documents:clocks(sweep)
  local o = self.fit.o
  return sweep == 0 and o.start == "sequential" and o.blocks * 16 or o.blocks
end

function by_documents:visit(i, clocks, sweep)
  local from, to = partition.equal(self.fit.last - self.fit.first, i, clocks)
  if sweep < 0 then self.sampler:start(from, to) else self.sampler:sweep(from, to, sweep) end
end

function by_documents:linger() end
function by_documents:begin() end
function by_documents:state() return {} end
function by_documents:restore() end
function by_documents:error() return 0, 0 end

function orders.documents(fit)
  return setmetatable({ fit = fit, sampler = new_sampler(fit, {}), counts = open_counts(fit) }, by_documents)
end

-- What both kinds of rotation have.
local by_words = {}

function by_words:clocks() return self.order.blocks end

function by_words:visit(_, _, sweep)
  self.order:next()
  local block = self.order:block(self.fit.w.id)
  if sweep < 0 then self.sampler:start_block(block) else self.sampler:sweep_block(block, sweep) end
end

-- More would only fit the round's block to totals that grow stale.
local most_passes = 4

-- Tokens between two looks at the clock of the slowest: some 100 microseconds.
local glance = 1000

--- More passes over the round's block, at most four, until every worker has made one over its own. A pass has random
-- numbers of its own: those of sweeps that there will never be.
function by_words:linger(sweep)
  local fit, sampler = self.fit, self.sampler
  local w, documents = fit.w, sampler.documents
  if not self.lingers or sweep < 0 then return end
  local block, from, pass = self.order:block(w.id), 0, 1
  local step = math.ceil(documents * glance * self.order.blocks / math.max(glance, sampler:tokens()))
  w:clock()
  while documents > 0 and pass <= most_passes and (w:slowest() or math.huge) < w:now() and not w:stopped() do
    local last = math.min(documents, from + step)
    sampler:sweep_block(block, sweep + pass * fit.o.sweeps, from, last)
    self.passes, from = self.passes + (last - from) / documents, last
    if from == documents then from, pass = 0, pass + 1 end
  end
end

--- Notes by how much this worker's totals are not those of all.
function by_words:compare(before, true_totals)
  local sum = 0
  for topic = 0, self.fit.o.topics - 1 do sum = sum + math.abs(tonumber(before[topic] - true_totals[topic])) end
  self.deviation, self.rounds = self.deviation + sum / math.max(1, self.fit.tokens), self.rounds + 1
  self.published = false
end

--- Means over the rounds since the last call: of ||n_k here - n_k of all||_1 / tokens at the end, and of passes more.
function by_words:error()
  local error, extra = self.deviation / math.max(1, self.rounds), self.passes / math.max(1, self.rounds)
  self.deviation, self.passes, self.rounds = 0, 0, 0
  return error, extra
end

local travelling = setmetatable({}, { __index = by_words })
travelling.__index = travelling

function travelling:begin() end

function travelling:publish()
  exchange.publish(self)
  ffi.copy(self.before, self.sampler:totals(), self.size)
  self.published = true
end

function travelling:catch_up()
  exchange.catch_up(self)
  if self.published then self:compare(self.before, self.sampler:totals()) end
end

function travelling:state()
  return { order = self.order:state(), deviation = self.deviation, rounds = self.rounds, published = self.published,
    before = ffi.string(self.before, self.size) }
end

function travelling:restore(state)
  self.order:restore(state.order)
  self.deviation, self.rounds, self.published = state.deviation, state.rounds, state.published
  ffi.copy(self.before, state.before, self.size)
end

local sharing = setmetatable({}, { __index = by_words })
sharing.__index = sharing

--- The rows are laid out.
function sharing:begin() self.fit.w:barrier() end

-- A worker may begin the next round while another still reads what this one has summed up to: rounds use two rows in
-- turn.
function sharing:publish()
  local totals, known, change = self.sampler:totals(), self.known, self.change
  for topic = 0, self.fit.o.topics - 1 do change[topic] = totals[topic] - known[topic] end
  self.row = 1 - self.row
  self.totals:inc_row(self.row, change)
  self.published = true
end

function sharing:catch_up()
  if not self.published then return end
  local known, seen, sum = self.known, self.seen[self.row], self.totals:get(self.row)
  for topic = 0, self.fit.o.topics - 1 do
    known[topic] = known[topic] + (sum[topic] - seen[topic])
    seen[topic] = sum[topic]
  end
  self:compare(self.sampler:totals(), known)
  self.sampler:set_totals(known)
end

function orders.rotation(fit)
  local w, o = fit.w, fit.o
  local block = orders.deal(fit.word_tokens, fit.corpus.words, o.blocks)
  local shares = w.size == 1 and not w.snapshots and not w.deterministic
  local memory = shares and function(bytes) return w:shared(o.name .. ".counts", math.ceil(bytes / 4), "i32") end or nil
  local self = { fit = fit, shares = shares, lingers = o.fugue and w.workers > 1, deviation = 0, passes = 0,
    rounds = 0, published = false,
    order = rotation { blocks = o.blocks, seed = fit.seed, stream = 2 ^ 40 }, -- no pass of a sampler comes so far
    sampler = new_sampler(fit, { blocks = o.blocks, block = block, memory = memory, sharers = w.workers,
      lay_out = w.index == 0 }) }
  local function zeros() return ffi.new("int64_t[?]", o.topics) end
  if not shares then
    self.counts, self.before, self.size = open_counts(fit, 0), zeros(), o.topics * ffi.sizeof "int64_t"
    return setmetatable(self, travelling)
  end
  self.totals = w:table(o.name .. ".totals", { rows = 2, cols = o.topics, type = "i64", staleness = 0 })
  self.known, self.change, self.seen, self.row = zeros(), zeros(), { [0] = zeros(), zeros() }, 0
  return setmetatable(self, sharing)
end

return orders
