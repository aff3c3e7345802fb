--- LDA with order "rotation": blocks of words go round, and no two workers ever have the same.
local ffi = require "ffi"
local epact = require "epact"
local core = require "epact.core"
local jobs = require "support.jobs"
local lda = require "epact.mcmc.lda"
local orders = require "epact.mcmc.lda_orders"
local process = require "support.process"
local support = require "support.lda_sampler"
local C = core.C

local words = 60

--- A bag of words with three groups of documents, each with its own third of the words (and some noise).
local function write_corpus()
  local rng, lines = epact.rng(3), {}
  for d = 1, 90 do
    local seen, first = {}, (d % 3) * 20
    for _ = 1, 12 do
      local word
      repeat
        word = rng:below(10) == 0 and rng:below(words) or first + rng:below(20)
      until not seen[word]
      seen[word] = true
      lines[#lines + 1] = ("%d %d %d"):format(d, word + 1, 1 + rng:below(4))
    end
  end
  return process.temporary(("90\n%d\n%d\n"):format(words, #lines) .. table.concat(lines, "\n") .. "\n")
end

local path, corpus, tokens

--- Trains, and checks that no token is lost or made. What a worker knows at the end: its history, and all counts as
-- text.
local function train(run, given)
  given.order, given.alpha = given.order or "rotation", 0.1
  given.topics, given.sweeps, given.every = given.topics or 3, given.sweeps or 30, given.every or 5
  local _, report = epact.run(run, function(w)
    local model = lda.fit(w, corpus, given)
    model.sampler:check() -- rows sum to the totals, and hold all of this worker's tokens
    local total, wrong, text = 0, 0, {}
    for topic = 0, given.topics - 1 do total = total + model.sampler:total(topic) end
    for word = 0, corpus.words - 1 do
      local sum, row = 0, {}
      for topic, count in model.sampler:row(word) do
        sum, row[#row + 1] = sum + count, ("%d:%d"):format(topic, count)
      end
      if sum ~= tonumber(model.word_tokens[word]) then wrong = wrong + 1 end
      text[#text + 1] = table.concat(row, ",")
    end
    return { history = model.history, total = total, wrong = wrong, own = model.sampler:tokens(),
      counts = table.concat(text, ";"), bytes = model.sampler:state_bytes() }
  end)
  local own = 0
  for id = 0, run.workers - 1 do
    local result = report.results[id][1]
    assert.equal(tokens, result.total)
    assert.equal(0, result.wrong)
    assert.equal(report.results[0][1].counts, result.counts)
    own = own + result.own
  end
  assert.equal(tokens, own)
  return report.results[0][1]
end

describe("LDA by rotation", function()
  setup(function()
    path = write_corpus()
    corpus = epact.data.corpus(path)
    tokens = tonumber(corpus.tokens)
  end)
  teardown(function()
    corpus:close()
    os.remove(path)
  end)

  it("of one worker is the serial sampler, bit for bit", function()
    for _, start in ipairs { "random", "sequential" } do
      local serial = train({ workers = 1, seed = 3 }, { order = "documents", blocks = 1, start = start })
      local rotated = train({ workers = 1, seed = 3 }, { start = start })
      if start == "random" then -- the other order learns its first topics in 16 parts
        assert.equal(serial.counts, rotated.counts)
        for i, now in ipairs(rotated.history) do assert.equal(serial.history[i].likelihood, now.likelihood) end
      end
      for _, now in ipairs(rotated.history) do assert.equal(0, now.error) end
    end
  end)

  for _, case in ipairs {
    { 2, nil, "random" }, { 4, nil, "random" }, { 4, nil, "sequential" }, { 3, 7, "random" },
    { 2, nil, "random", true }, { 4, 5, "sequential", true },
  } do
    local workers, blocks, start, deterministic = unpack(case)
    it(("with %d workers, %s blocks, %s start%s: keeps every token, and learns"):format(workers, blocks or "as many",
      start, deterministic and ", counts that travel" or ""), function()
      local result = train({ workers = workers, seed = 4, deterministic = deterministic }, { start = start,
        blocks = blocks })
      local history = result.history
      assert.equal(30, history[#history].sweep)
      assert.is_true(history[#history].likelihood > -3.92, tostring(history[#history].likelihood)) -- see lda_spec
      for _, now in ipairs(history) do
        assert.is_true(now.error > 0 and now.error < 0.1, tostring(now.error)) -- 2000 tokens: single ones count
      end
    end)
  end

  it("gets as far as documents do in as many sweeps", function()
    local mean = { documents = 0, rotation = 0 }
    for seed = 1, 4 do
      for order in pairs(mean) do
        -- Deterministic: when other counts come at other moments, a chain may stay with two groups in a topic.
        local history = train({ workers = 4, seed = seed, deterministic = order == "documents" }, { order = order,
          sweeps = 40, every = 4 }).history
        for i = 6, 10 do mean[order] = mean[order] + history[i].likelihood / 20 end
      end
    end
    assert.near(mean.documents, mean.rotation, 0.01)
  end)

  it("is the same again with as many workers, in shared memory and through tables", function()
    for _, deterministic in ipairs { false, true } do
      local run = { workers = 3, seed = 8, deterministic = deterministic }
      local one, two = train(run, { topics = 5 }), train(run, { topics = 5 })
      assert.equal(one.counts, two.counts)
      for i, now in ipairs(one.history) do
        assert.near(now.likelihood, two.history[i].likelihood, 1e-12) -- sums over workers, as they come
        assert.near(now.error, two.history[i].error, 1e-12)
      end
      assert.are_not.equal(one.counts, train({ workers = 3, seed = 9, deterministic = deterministic },
        { topics = 5 }).counts)
    end
  end)

  it("has the counts once a process", function()
    local one, four = train({ workers = 1 }, { topics = 30, sweeps = 1 }), train({ workers = 4 },
      { topics = 30, sweeps = 1 })
    local replica = train({ workers = 4, deterministic = true }, { topics = 30, sweeps = 1 })
    assert.is_true(four.bytes < 0.6 * one.bytes + 16384, ("%g of %g"):format(four.bytes, one.bytes)) -- and two tables
    assert.is_true(replica.bytes > four.bytes)
  end)

  it("has the same bits for 1 x 4, 2 x 2 and 4 x 1 workers", function()
    local script = ([[
      local epact, lda = require "epact", require "epact.mcmc.lda"
      local corpus = epact.data.corpus %q
      local _, report = epact.run({ workers = %%d, seed = 9, deterministic = true }, function(w)
        local model = lda.fit(w, corpus, { topics = 5, sweeps = 6, every = 2, order = "rotation" })
        model.sampler:check()
        local bits = {}
        for _, now in ipairs(model.history) do
          bits[#bits + 1] = ("%%%%.17g %%%%.17g"):format(now.likelihood, now.error)
        end
        for word = 0, corpus.words - 1 do
          for topic, count in model.sampler:row(word) do bits[#bits + 1] = count * 5 + topic end
        end
        return table.concat(bits, " ")
      end)
      for i = 0, #report.results do print(report.results[i][1]) end
    ]]):format(path)
    local first
    for _, place in ipairs { { 1, 4 }, { 2, 2 }, { 4, 1 } } do
      local results, text = jobs.run(script:format(place[2]), { processes = place[1] }), ""
      for rank = 0, place[1] - 1 do
        assert.equal("", results[rank].errors)
        text = text .. results[rank].output
      end
      first = first or text
      assert.is_true(#text > 4 * words)
      assert.is_true(text == first, place[1] .. " x " .. place[2])
    end
  end)

  it("not deterministic, in two processes, keeps every token", function()
    local results = jobs.run(([[
      local epact, lda = require "epact", require "epact.mcmc.lda"
      local corpus = epact.data.corpus %q
      print((epact.run({ workers = 2, seed = 9 }, function(w)
        local model = lda.fit(w, corpus, { topics = 3, sweeps = 20, order = "rotation", alpha = 0.1 })
        model.sampler:check()
        local total = 0
        for topic = 0, 2 do total = total + model.sampler:total(topic) end
        return ("%%d %%s"):format(total, model.history[2].likelihood > -3.95)
      end)))]]):format(path), { processes = 2 })
    for rank = 0, 1 do
      assert.equal("", results[rank].errors)
      assert.equal(tokens .. " true\n", results[rank].output)
    end
  end)

  -- Ends in an error at clock `stop`. All there is to know of the model, or nil.
  local function train_with_snapshots(folder, workers, stop)
    local ok, result = pcall(epact.run, { workers = workers, seed = 5, deterministic = workers > 1, resume = "if any",
      snapshot = { every = 4, dir = folder } }, function(w)
      local clock, barrier = w.clock, w.barrier
      local function stopping(step)
        return function(self)
          step(self)
          if self:now() == stop then error "stopped" end
        end
      end
      w.clock, w.barrier = stopping(clock), stopping(barrier)
      local model = lda.fit(w, corpus, { topics = 4, sweeps = 4, blocks = 5, every = 2, order = "rotation" })
      model.sampler:check()
      local bits = { model.sampler:state() }
      for _, now in ipairs(model.history) do bits[#bits + 1] = ("%.17g %.17g"):format(now.likelihood, now.error) end
      return table.concat(bits, " ")
    end)
    if not ok then assert.matches("stopped", result) end
    return ok and result or nil
  end

  for _, workers in ipairs { 1, 3 } do
    it(("%d workers, stopped and resumed, has the bits of an undisturbed run"):format(workers), function()
      local folder = os.tmpname()
      os.remove(folder)
      local calm = train_with_snapshots(folder .. ".calm", workers)
      assert.is_true(#calm > 100)
      for stop = 2, 29, 5 do assert.is_nil(train_with_snapshots(folder, workers, stop)) end
      assert.is_true(calm == train_with_snapshots(folder, workers))
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end

  it("works with more workers than documents, and with one topic", function()
    local few = corpus:slice(0, 2)
    local sum = epact.run({ workers = 5 }, function(w)
      local model = lda.fit(w, few, { topics = 1, sweeps = 2, every = 1, order = "rotation" })
      model.sampler:check()
      return model.sampler:total(0)
    end)
    assert.equal(tonumber(few.tokens), sum)
  end)

  it("refuses fewer blocks than workers at the user's line", function()
    local message = epact.run({ workers = 3 }, function(w)
      return select(2, pcall(function() lda.fit(w, corpus, { order = "rotation", blocks = 2 }) end))
    end)
    assert.matches("^spec/lda_rotation_spec%.lua:%d+: lda%.fit: option 'blocks' must be in 3 %(the workers%) %.%. "
      .. "65535 for order \"rotation\", got 2$", message)
  end)
end)

describe("blocks of words", function()
  it("have about as many tokens each, and lines of the cache to themselves", function()
    local rng, count = epact.rng(2), 4001
    local frequency, sum = ffi.new("int64_t[?]", count), 0
    for word = 0, count - 1 do
      frequency[word] = math.floor(30000 / (1 + rng:below(count)))
      sum = sum + tonumber(frequency[word])
    end
    for _, blocks in ipairs { 1, 2, 7 } do
      local block, load = orders.deal(frequency, count, blocks)
      local loads = {}
      for word = 0, count - 1 do
        loads[block[word]] = (loads[block[word]] or 0) + tonumber(frequency[word])
        assert.equal(block[word - word % 4], block[word])
      end
      for b = 0, blocks - 1 do
        assert.equal(load[b], loads[b])
        assert.near(sum / blocks, load[b], 0.01 * sum / blocks)
      end
    end
  end)

  it("change only the tokens of the block, in samplers that share the counts", function()
    local documents, n = { { 0, 1, 2, 3, 4, 5 }, { 5, 4, 3, 0, 0 } }, 6
    local block, tokens_of = ffi.new("uint16_t[6]", { 0, 1, 0, 1, 0, 1 }), { 3, 1, 1, 2, 2, 2 }
    local frequency = ffi.new("int64_t[6]", tokens_of)
    local options = ffi.new("epact_lda_options", { words = n, topics = 4, alpha = 1, beta = 1,
      word_tokens = frequency })
    local memory = core.own(C.epact_block_new(tonumber(C.epact_lda_shared_bytes(options))))
    local samplers = {}
    for i = 1, 2 do
      samplers[i] = support.sampler({ documents[i] }, { words = n, topics = 4, word_tokens = tokens_of, block = block,
        blocks = 2, shared = memory, lay_out = i == 1 and 1 or 0, seed = i, record = 0 })
    end
    local first, second = samplers[1], samplers[2]
    for b = 0, 1 do -- tokens by block: 0 2 4 1 3 5, and 4 0 0 5 3
      core.check(C.epact_lda_start_block(first, 0, 1, b))
      core.check(C.epact_lda_start_block(second, 0, 1, 1 - b))
    end
    local sum = ffi.new "int64_t[4]"
    for k = 0, 3 do sum[k] = C.epact_lda_totals(first)[k] + C.epact_lda_totals(second)[k] end
    for i = 1, 2 do
      core.check(C.epact_lda_set_totals(samplers[i], sum))
      core.check(C.epact_lda_check(samplers[i]))
    end
    for pass = 0, 19 do
      local before = support.topics_of(first)
      core.check(C.epact_lda_sweep_block(first, 0, 1, 1, pass))
      local after, moved = support.topics_of(first), 0
      for t = 1, 3 do assert.equal(before[t], after[t]) end
      for t = 4, 6 do moved = moved + (before[t] ~= after[t] and 1 or 0) end
      core.check(C.epact_lda_set_totals(second, C.epact_lda_totals(first)))
      for i = 1, 2 do core.check(C.epact_lda_check(samplers[i])) end
    end
    for w = 0, n - 1 do
      local total = 0
      for k = 0, 3 do total = total + support.replica(second, n, 4)[k][w] end
      assert.equal(tonumber(frequency[w]), total)
    end
  end)

  it("refuse what is none", function()
    local function refused(pattern, given)
      given.words = 3
      assert.error_matches(function() support.sampler({ { 0, 1, 2 } }, given) end, pattern)
    end
    refused("blocks must be in 0 .. 65535, with the block of each word, got 2", { blocks = 2 })
    refused("blocks must be in 0 .. 65535, with the block of each word, got %-1", { blocks = -1 })
    refused("word 1 is of block 2 of 2", { blocks = 2, block = ffi.new("uint16_t[3]", { 0, 2, 1 }) })
    refused("shared counts need word_tokens", { shared = ffi.new "int64_t[8]" })
    refused("shared memory must be 64%-byte aligned", { shared = ffi.cast("char *", 68), word_tokens = { 1, 1, 1 } })
    local sampler = support.sampler({ { 0, 1, 2 } }, { words = 3 })
    local function fails(pattern, code)
      assert.is_true(code < 0)
      assert.matches(pattern, ffi.string(C.epact_error_message()))
    end
    fails("epact_lda_sweep_block: block 1 is outside 0 .. 0", C.epact_lda_sweep_block(sampler, 0, 1, 1, 0))
    fails("epact_lda_start_block: block %-1 is outside 0 .. 0", C.epact_lda_start_block(sampler, 0, 1, -1))
    fails("epact_lda_sweep_block: documents %[0, 2%) are outside", C.epact_lda_sweep_block(sampler, 0, 2, 0, 0))
    fails("epact_lda_sweep_block: sweep %-1 is negative", C.epact_lda_sweep_block(sampler, 0, 1, 0, -1))
    fails("topic 1 has %-1 tokens", C.epact_lda_set_totals(sampler, ffi.new("int64_t[2]", { 3, -1 })))
    local options = ffi.new("epact_lda_options", { words = 1, topics = 1000, alpha = 1, beta = 1 })
    fails("word_tokens is missing", C.epact_lda_shared_bytes(options))
    local frequency = ffi.new("int64_t[1]", { 2 ^ 23 })
    options.word_tokens = frequency
    fails("word 0 has 8388608 tokens, the limit for 1000 topics is 4194303", C.epact_lda_shared_bytes(options))
    frequency[0] = 9
    assert.equal(64 + 16 * 4, tonumber(C.epact_lda_shared_bytes(options)))
  end)
end)
