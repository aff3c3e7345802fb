-- LDA through the parameter server: no token is lost or made, the same bits for any placement, a likelihood that rises.
local epact = require "epact"
local jobs = require "support.jobs"
local lda = require "epact.mcmc.lda"
local process = require "support.process"

local documents, words, pairs_each = 90, 60, 12

--- A bag of words with three groups of documents, each with its own third of the words (and some noise).
local function write_corpus()
  local rng, lines, tokens = epact.rng(3), {}, 0
  for d = 1, documents do
    local seen, first = {}, (d % 3) * 20
    for _ = 1, pairs_each do
      local word
      repeat
        word = rng:below(10) == 0 and rng:below(words) or first + rng:below(20)
      until not seen[word]
      seen[word] = true
      local count = 1 + rng:below(4)
      tokens = tokens + count
      lines[#lines + 1] = ("%d %d %d"):format(d, word + 1, count)
    end
  end
  local head = ("%d\n%d\n%d\n"):format(documents, words, #lines)
  return process.temporary(head .. table.concat(lines, "\n") .. "\n"), tokens
end

local path, tokens, corpus

--- Trains with `workers`, and looks at the counts from outside: in the server's table, and in each sampler.
local function train(options, given)
  given.sweeps, given.topics, given.every = given.sweeps or 30, given.topics or 3, given.every or 5
  given.alpha = 0.1 -- documents are of one topic
  local _, report = epact.run(options, function(w)
    local sums = {}
    if w.id == 0 then
      given.on_report = function()
        local counts = w:table("lda.counts", { rows = corpus.words, cols = given.topics, type = "i32",
          sparse_updates = true, changes = true })
        local sum, least = 0, 0
        for word = 0, corpus.words - 1 do
          for topic = 0, given.topics - 1 do
            local count = counts:cell(word, topic)
            sum, least = sum + count, math.min(least, count)
          end
        end
        sums[#sums + 1] = { sum, least }
      end
    end
    local model = lda.fit(w, corpus, given)
    model.sampler:check()
    local total, wrong = 0, 0
    for topic = 0, given.topics - 1 do total = total + model.sampler:total(topic) end
    for word = 0, corpus.words - 1 do
      for topic, count in model.sampler:row(word) do
        if model.counts:cell(word, topic) ~= count then wrong = wrong + 1 end
      end
    end
    return { history = model.history, sums = sums, total = total, wrong = wrong, own = model.sampler:tokens(),
      first = model.first, last = model.last }
  end)
  return report.results
end

describe("LDA", function()
  setup(function()
    path, tokens = write_corpus()
    corpus = epact.data.corpus(path)
  end)
  teardown(function()
    corpus:close()
    os.remove(path)
  end)

  for _, case in ipairs {
    { 1, 0, "random" }, { 1, 0, "sequential" }, { 4, 0, "random" }, { 4, 0, "sequential" }, { 3, 2, "random" },
    { 4, math.huge, "random" },
  } do
    local workers, staleness, start = unpack(case)
    it(("with %d workers, staleness %s, %s start: keeps every token, and learns"):format(workers, staleness, start),
      function()
        -- Deterministic: from a sequential start, one run in seventy stays for long with two groups in a topic.
        local results = train({ workers = workers, staleness = staleness, seed = 4,
          deterministic = start == "sequential" }, { start = start, blocks = 4 })
        local own, next_document = 0, 0
        for i = 0, workers - 1 do
          local result = results[i][1]
          assert.equal(tokens, result.total)
          assert.equal(0, result.wrong)
          assert.equal(next_document, result.first)
          own, next_document = own + result.own, result.last
        end
        assert.equal(tokens, own)
        assert.equal(documents, next_document)
        local first = results[0][1]
        assert.equal(6, #first.sums)
        for _, sum in ipairs(first.sums) do assert.same({ tokens, 0 }, sum) end
        local history = first.history
        assert.equal(30, history[#history].sweep)
        assert.equal(tokens, history[1].tokens)
        -- A third of the vocabulary is log 20 a token, and noise and topics cost some; all of it is log 60 = 4.09.
        assert.is_true(history[#history].likelihood > -3.92, tostring(history[#history].likelihood))
        assert.is_true(history[#history].likelihood >= history[1].likelihood - 0.02)
      end)
  end

  it("starts low with random topics, and rises", function()
    local history = train({ workers = 2, seed = 1 }, { sweeps = 20, every = 1 })[0][1].history
    assert.is_true(history[20].likelihood > history[1].likelihood + 0.05)
    for i = 1, 20 do assert.equal(i, history[i].sweep) end
  end)

  it("deterministic has the same bits for 1 x 4, 2 x 2 and 4 x 1 workers", function()
    local script = ([[
      local epact, lda = require "epact", require "epact.mcmc.lda"
      local corpus = epact.data.corpus %q
      local _, report = epact.run({ workers = %%d, seed = 9, deterministic = true }, function(w)
        local model = lda.fit(w, corpus, { topics = 5, sweeps = 6, blocks = 3, every = 2 })
        local bits = {}
        for _, now in ipairs(model.history) do bits[#bits + 1] = ("%%%%.17g"):format(now.likelihood) end
        for word = 0, corpus.words - 1 do
          local row = {}
          for topic, count in model.sampler:row(word) do row[#row + 1] = count * 5 + topic end
          table.sort(row)
          bits[#bits + 1] = table.concat(row, ",")
        end
        return table.concat(bits, " ")
      end)
      for i = 0, #report.results do print(report.results[i][1]) end
    ]]):format(path)
    local outputs = {}
    for k, place in ipairs { { 1, 4 }, { 1, 4 }, { 2, 2 }, { 4, 1 } } do
      local results, text = jobs.run(script:format(place[2]), { processes = place[1] }), ""
      for rank = 0, place[1] - 1 do
        assert.equal("", results[rank].errors)
        text = text .. results[rank].output
      end
      outputs[k] = text
      assert.is_true(#text > 4 * words)
      assert.is_true(text == outputs[1], place[1] .. " x " .. place[2])
    end
  end)

  -- Trains with snapshots in `folder`; ends in an error at clock `stop`. All there is to know of the model, or nil.
  local function train_with_snapshots(folder, given, stop)
    local run = { workers = given.workers, seed = 5, deterministic = given.workers > 1, resume = "if any",
      snapshot = { every = given.every, dir = folder, durability = given.durability } }
    local ok, result = pcall(epact.run, run, function(w)
      local clock, barrier = w.clock, w.barrier
      local function stopping(step)
        return function(self)
          step(self)
          if self:now() == stop then error "stopped" end
        end
      end
      w.clock, w.barrier = stopping(clock), stopping(barrier)
      local model = lda.fit(w, corpus, { topics = 4, sweeps = 4, blocks = 5, every = 2, start = given.start })
      model.sampler:check()
      local bits = { model.sampler:state() }
      for _, now in ipairs(model.history) do bits[#bits + 1] = ("%.17g"):format(now.likelihood) end
      return table.concat(bits, " ")
    end)
    if not ok then assert.matches("stopped", result) end
    return ok and result or nil
  end

  for _, given in ipairs {
    { workers = 1, every = 3, durability = "snapshot", start = "random" },
    { workers = 3, every = 4, durability = "snapshot", start = "sequential" },
    { workers = 3, every = 7, durability = "journal", start = "random" },
  } do
    it(("%d workers, %s: stopped and resumed has the bits of an undisturbed run"):format(given.workers,
      given.durability), function()
      local folder = os.tmpname()
      os.remove(folder)
      local calm = train_with_snapshots(folder .. ".calm", given)
      assert.is_true(#calm > 100)
      local last = given.start == "random" and 29 or 99
      for stop = 2, last, given.durability == "journal" and 1 or 6 do
        assert.is_nil(train_with_snapshots(folder, given, stop))
      end
      assert.is_true(calm == train_with_snapshots(folder, given))
      os.execute("rm -rf " .. folder .. " " .. folder .. ".calm")
    end)
  end

  it("not deterministic, goes on with every token", function()
    local folder = os.tmpname()
    os.remove(folder)
    for resume = 0, 1 do
      local ok, total = pcall(epact.run, { workers = 3, staleness = 2, resume = resume == 1,
        snapshot = { every = 3, dir = folder } }, function(w)
        if resume == 0 then
          local clock = w.clock
          w.clock = function(self)
            clock(self)
            if self:now() == 20 then error "stopped" end
          end
        end
        local model = lda.fit(w, corpus, { topics = 4, sweeps = 5, blocks = 5, every = 2 })
        model.sampler:check()
        local sum = 0
        for topic = 0, 3 do sum = sum + model.sampler:total(topic) end
        return sum
      end)
      assert.equal(resume == 1, ok, total)
      if ok then assert.equal(tokens, total) end
    end
    os.execute("rm -rf " .. folder)
  end)

  it("of another seed is another chain, of the same seed the same", function()
    local function chain(seed)
      local history = train({ workers = 2, deterministic = true }, { seed = seed, sweeps = 3, every = 1 })[0][1].history
      return history[3].likelihood
    end
    assert.equal(chain(1), chain(1))
    assert.are_not.equal(chain(1), chain(2))
  end)

  it("with more workers than documents, or one topic, works", function()
    local few = corpus:slice(0, 2)
    local sum = epact.run({ workers = 5 }, function(w)
      local model = lda.fit(w, few, { topics = 1, sweeps = 2, every = 1 })
      model.sampler:check()
      return model.sampler:total(0)
    end)
    assert.equal(tonumber(few.tokens), sum)
  end)

  it("refuses wrong options at the user's line", function()
    local function refused(given)
      local message = epact.run({ workers = 1 }, function(w)
        return select(2, pcall(function() lda.fit(w, corpus, given) end))
      end)
      return message:match "^spec/lda_spec%.lua:%d+: (.*)$" or message
    end
    assert.equal("lda.fit: unknown option 'topic' (did you mean 'topics'?)", refused { topic = 3 })
    assert.equal("lda.fit: option 'topics' must be an integer >= 1, got 0", refused { topics = 0 })
    assert.equal("lda.fit: option 'alpha' must be a positive number, got -1", refused { alpha = -1 })
    assert.equal("lda.fit: option 'beta' must be a positive number, got 0", refused { beta = 0 })
    assert.equal("lda.fit: option 'sweeps' must be an integer >= 1, got 2.5", refused { sweeps = 2.5 })
    assert.equal("lda.fit: option 'start' must be one of random, sequential, got \"warm\"",
      refused { start = "warm" })
    assert.equal("lda.fit: option 'on_report' must be a function, got 3", refused { on_report = 3 })
    assert.equal("lda.fit: the options must be a table, got \"20\"", refused "20")
  end)

  it("refuses what is no corpus at the user's line", function()
    local messages = epact.run({ workers = 1 }, function(w)
      local function message(set) return select(2, pcall(function() lda.fit(w, set, { topics = 2 }) end)) end
      return { message(), message {}, message(require "epact".data.new("dense", 2, 2)) }
    end)
    for _, message in ipairs(messages) do
      assert.matches("^spec/lda_spec%.lua:%d+: lda%.fit: corpus must be a corpus, got ", message)
    end
    assert.equal(3, #messages)
  end)

  it("writes files that can be read back: every token, every document", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert.equal(0, os.execute("mkdir " .. folder))
    local vocabulary = {}
    for word = 0, words - 1 do vocabulary[word] = "word" .. word end
    epact.run({ workers = 3, seed = 2 }, function(w)
      lda.save(w, lda.fit(w, corpus, { topics = 3, sweeps = 20 }), vocabulary, folder)
    end)
    local function lines(name)
      local list = {}
      for line in io.lines(folder .. "/" .. name) do list[#list + 1] = line end
      return list
    end

    local counts, sum = lines "counts.tsv", 0
    assert.matches("^# topics 3 alpha %d%S* beta 0%.01", counts[1])
    assert.equal("# word\ttopic:count", counts[2])
    for i = 3, #counts do
      local word, cells = counts[i]:match "^(%S+)\t(.*)$"
      assert.equal("word" .. i - 3, word)
      for topic, count in cells:gmatch "(%d+):(%d+)" do
        assert.is_true(tonumber(topic) < 3)
        sum = sum + tonumber(count)
      end
    end
    assert.equal(words + 2, #counts)
    assert.equal(tokens, sum)

    local topics, share = lines "topics.tsv", 0
    assert.equal(4, #topics)
    for i = 2, 4 do share = share + tonumber(topics[i]:match "^%d+\t(%S+)\tword%d+") end
    assert.near(1, share, 1e-4)

    local next_document = 0
    for id = 0, 2 do
      for i, line in ipairs(lines("documents." .. id .. ".tsv")) do
        if i > 1 then
          local document, mixture = line:match "^(%d+)\t(.*)$"
          assert.equal(next_document, tonumber(document))
          next_document = next_document + 1
          local mass, before = 0, 1
          for part in mixture:gmatch "%d+:(%S+)" do
            assert.is_true(tonumber(part) <= before)
            mass, before = mass + part, tonumber(part)
          end
          assert.is_true(mass > 0.97 and mass < 1.001)
        end
      end
    end
    assert.equal(documents, next_document)
    os.execute("rm -r " .. folder)
  end)

  it("says where it could not write", function()
    local ok, message = pcall(epact.run, { workers = 1 }, function(w)
      lda.save(w, lda.fit(w, corpus, { topics = 2, sweeps = 1 }), {}, "/no/such/folder")
    end)
    assert.is_false(ok)
    assert.matches("lda%.save: /no/such/folder/documents%.0%.tsv: No such file or directory %[E_IO%]", message)
  end)
end)
