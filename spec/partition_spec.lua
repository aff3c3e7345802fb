-- How data are dealt to workers: contiguous parts, none lost, of about equal work.
local epact = require "epact"
local partition = require "epact.partition"

--- A sparse matrix whose row i has lengths[i + 1] non-zeros.
local function sparse(lengths)
  local count = 0
  for _, n in ipairs(lengths) do count = count + n end
  local X = epact.data.new("sparse", #lengths, 10, count)
  X.start[0] = 0
  for i, n in ipairs(lengths) do X.start[i] = X.start[i - 1] + n end
  return X
end

--- The parts' bounds as a list: 0, ..., the number of items.
local function bounds(set, parts)
  local list = {}
  for id = 0, parts - 1 do
    local from, to = partition.share(set, id, parts)
    assert.equal(list[#list] or 0, from)
    assert.is_true(to >= from)
    if id == 0 then list[1] = from end
    list[#list + 1] = to
  end
  return list
end

describe("a share", function()
  it("is of equal numbers of rows where rows are alike", function()
    assert.same({ 0, 3, 6, 10 }, bounds(epact.data.new("dense", 10, 2), 3))
    assert.same({ 0, 2, 5 }, bounds(epact.data.new("ratings", 9, 9, 5), 2))
    assert.same({ 0, 4, 8 }, bounds(epact.data.new("edges", 9, 8, 0), 2))
  end)

  it("is of equal numbers of non-zeros where they are not", function()
    assert.same({ 0, 1, 4 }, bounds(sparse { 30, 10, 10, 10 }, 2))
    assert.same({ 0, 3, 4 }, bounds(sparse { 10, 10, 10, 30 }, 2))
    assert.same({ 0, 1, 1, 4 }, bounds(sparse { 60, 1, 1, 1 }, 3)) -- a row is not cut
  end)

  it("leaves nothing out and nothing twice, for any lengths and any number of parts", function()
    local rng = epact.rng(5)
    for _ = 1, 200 do
      local lengths, total, longest = {}, 0, 0
      for i = 1, rng:below(40) do
        lengths[i] = rng:below(4) == 0 and rng:below(100) or rng:below(5)
        total, longest = total + lengths[i], math.max(longest, lengths[i])
      end
      local X, parts = sparse(lengths), 1 + rng:below(9)
      local cuts = bounds(X, parts)
      assert.equal(0, cuts[1])
      assert.equal(#lengths, cuts[#cuts])
      for k = 2, #cuts do
        local work = tonumber(X.start[cuts[k]] - X.start[cuts[k - 1]])
        assert.is_true(work <= total / parts + longest)
      end
    end
  end)

  it("of more parts than rows is empty for some", function()
    assert.same({ 0, 0, 0, 1, 1, 2 }, bounds(epact.data.new("dense", 2, 2), 5))
    assert.same({ 0, 0, 0 }, bounds(sparse {}, 2))
  end)

  it("of a slice is cut within it", function()
    local X = sparse { 5, 5, 20, 5, 5, 10 }
    assert.same({ 0, 1, 4 }, bounds(X:slice(2, 6), 2))
  end)
end)

describe("w:shard", function()
  it("cuts several data sets at the same rows, without a copy", function()
    local X, y = sparse { 9, 1, 1, 1, 9, 3 }, epact.data.new("dense", 6, 1)
    for i = 0, 5 do y.value[i] = i end
    local _, report = epact.run({ workers = 3 }, function(w)
      local features, labels = w:shard(X, y)
      local seen = {}
      for i = 0, features.rows - 1 do seen[i + 1] = labels.value[i] end
      if labels.rows > 0 then labels.value[0] = labels.value[0] + 100 end
      return seen, labels.rows
    end)
    local all = {}
    for i = 0, 2 do
      assert.equal(#report.results[i][1], report.results[i][2])
      for _, value in ipairs(report.results[i][1]) do all[#all + 1] = value end
    end
    assert.same({ 0, 1, 2, 3, 4, 5 }, all)
    assert.equal(100, y.value[0])
  end)

  it("refuses what has no rows, other lengths, and closed data", function()
    local X, y = sparse { 1, 2 }, epact.data.new("dense", 3, 1)
    local messages = epact.run({ workers = 1 }, function(w)
      local function message(...)
        local args = { ... }
        return select(2, pcall(function() w:shard(unpack(args)) end))
      end
      local closed = require "epact".data.new("corpus", 3, 4, 5)
      closed:close()
      return { message(), message {}, message(5), message(X, y), message(X, "y"), message(closed) }
    end)
    for _, message in ipairs(messages) do assert.matches("^spec/partition_spec%.lua:%d+: shard: ", message) end
    local function told(i) return messages[i]:match "shard: (.*)$" end
    assert.equal("expected a data set, got nil", told(1))
    assert.equal("expected a data set, got a table", told(2))
    assert.equal("expected a data set, got 5", told(3))
    assert.equal("argument 2 has 3 items, the first has 2", told(4))
    assert.equal('expected a data set, got "y"', told(5))
    assert.equal("this data set was closed", told(6))
  end)
end)
