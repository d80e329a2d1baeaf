// Have an Oddwave service label the rows of a CSV: detect INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.

#include <httplib.h>
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

namespace fs = std::filesystem;
using nlohmann::json;
using Failure = std::runtime_error;  // what to tell the user

constexpr int attempts = 3;  // while the service is busy
constexpr std::size_t max_bytes = 1 << 30;  // OpenSSL counts in int

unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string to_base64(std::string bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // and a final zero
    text.resize(EVP_EncodeBlock(bytes_of(text), bytes_of(bytes), static_cast<int>(bytes.size())));
    return text;
}

std::string from_base64(std::string text) {
    std::string bytes(3 * (text.size() / 4), '\0');
    const int size = text.size() % 4 || text.size() > max_bytes
        ? -1
        : EVP_DecodeBlock(bytes_of(bytes), bytes_of(text), static_cast<int>(text.size()));
    if (size < 0) throw std::invalid_argument("not base64");
    const auto padding = std::count(text.end() - std::min<std::size_t>(2, text.size()), text.end(), '=');
    bytes.resize(size - padding);
    return bytes;
}

std::string read(const fs::path& path) {
    std::error_code problem;
    const auto size = fs::file_size(path, problem);
    if (problem) throw Failure("Can't read " + path.string() + ": " + problem.message());
    if (size > max_bytes) throw Failure(path.string() + " is larger than 1 GB.");
    std::ifstream file(path, std::ios::binary);
    std::string content(size, '\0');
    if (!file.read(content.data(), static_cast<std::streamsize>(size))) throw Failure("Can't read " + path.string());
    return content;
}

// Write a file whole or not at all.
void save(const fs::path& path, const std::string& content) {
    const fs::path part = path.string() + ".part";
    std::error_code problem;
    std::ofstream file(part, std::ios::binary);
    file << content;
    file.close();
    if (file) fs::rename(part, path, problem);
    if (file && !problem) return;
    fs::remove(part, problem);
    throw Failure("Can't write " + path.string());
}

int pause(const std::string& retry_after) {
    try {
        return std::clamp(std::stoi(retry_after), 0, 30);
    } catch (const std::exception&) {
        return 1;
    }
}

// Why the service refused, in its own words if it gave any.
std::string refusal(const httplib::Response& response) {
    try {
        const json told = json::parse(response.body);
        return "The service refused: " + told.at("errorMsg").get<std::string>() + " (errorCode "
            + std::to_string(told.at("errorCode").get<int>()) + ", logId " + told.at("logId").get<std::string>() + ")";
    } catch (const json::exception&) {
        return "The service answered with HTTP status " + std::to_string(response.status) + " and no reason.";
    }
}

// Send a CSV and return the service's: time, label and score of every row.
std::string detect(const std::string& table, std::string url) {
    url.erase(url.find_last_not_of('/') + 1);
    const auto host = url.find("://");
    const auto path = url.find('/', host == std::string::npos ? 0 : host + 3);
    const std::string address = url + "/time-series-anomaly-detection";
    httplib::Client client(url.substr(0, path));
    client.set_connection_timeout(10);
    client.set_read_timeout(60);
    client.set_write_timeout(60);
    const char* key = std::getenv("ODDWAVE_API_KEY");
    if (key && *key) client.set_bearer_token_auth(key);
    const std::string body = json{{"csv", to_base64(table)}}.dump();
    const std::string route = address.substr(std::min(path, url.size()));
    for (int attempt = 1;; ++attempt) {
        const auto response = client.Post(route, body, "application/json");
        if (!response) throw Failure("Can't reach " + address + ": " + httplib::to_string(response.error()));
        if (response->status == 503 && attempt < attempts) {
            std::this_thread::sleep_for(std::chrono::seconds(pause(response->get_header_value("Retry-After"))));
            continue;
        }
        if (response->status != 200) throw Failure(refusal(*response));
        try {
            return from_base64(json::parse(response->body).at("result").at("csv").get<std::string>());
        } catch (const std::exception&) {
            throw Failure("The answer of " + address + " isn't the documented one.");
        }
    }
}

void run(const fs::path& source, const fs::path& target, const std::string& url) {
    const std::string labelled = detect(read(source), url);
    save(target, labelled);
    std::istringstream lines(labelled);
    std::string line;
    std::getline(lines, line);  // the header
    int rows = 0;
    int anomalous = 0;
    for (; std::getline(lines, line); ++rows) {
        const auto comma = line.find(',');  // the label is the second column
        anomalous += comma != std::string::npos && line.compare(comma, 3, ",1,") == 0;
    }
    std::cout << target.string() << ": " << rows << " rows, " << anomalous << " of them anomalous\n";
}

int main(int count, char** words) {
    if (count != 3 && count != 4) {
        std::cerr << "usage: detect INPUT.csv OUTPUT.csv [URL]\n";
        return 1;
    }
    try {
        run(words[1], words[2], count == 4 ? words[3] : "http://127.0.0.1:8080");
    } catch (const std::exception& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
